"""One session for several tests: importing a large library takes seconds."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from graders.session import Hello, Preview, Request, RolloutResult, Session
from tests.formats.bundled import Bundled
from tests.runner.bench import Chat, carried_out


class Shared:
    """A session whose policy each run brings along."""

    def __init__(self, session: Session, chat: Chat) -> None:
        self._session = session
        self._chat = chat
        self.hello: Hello = session.hello

    def peek(self, tasks: Sequence[int]) -> list[Preview]:
        return self._session.peek(tasks)

    def run(
        self, say: Callable[[list[dict[str, Any]], int], Any], requests: list[Request]
    ) -> list[RolloutResult]:
        """The results in the order of the requests. `asked` then has what the model was asked."""
        self._chat.say, self._chat.asked = say, []
        return carried_out(self._session, requests)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [body for body, _ in self._chat.asked]


@contextmanager
def shared(bundled: Bundled, **changes: Any) -> Iterator[Shared]:
    chat = Chat(lambda *_: "")
    with bundled.session(chat, **changes) as session:
        yield Shared(session, chat)
