"""One rollout, or one look at a task, under way: its random states and its talk with the model."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Any, ParamSpec, TypeVar

from .faults import BadEnvironment, ModelError
from .frames import MAX_MESSAGES
from .isolation import Cancelled, Guard, Stream
from .wire import Wire

P = ParamSpec("P")
T = TypeVar("T")

Message = dict[str, str]

_numbers = count()


class Attempt:
    """What an adapter gets to do its work with.

    `task` and `seed` are ints from 0 up, `max_turns` the most replies the model may give. Every
    call into contributed code goes through `pose` or `play`.
    """

    def __init__(
        self, wire: Wire, guard: Guard, number: int, *, task: int, seed: int, max_turns: int
    ) -> None:
        self.task = task
        self.seed = seed
        self.max_turns = max_turns
        self._wire = wire
        self._guard = guard
        self._number = number
        self._posing = Stream(task)
        self._playing = Stream(seed)
        self._unwanted = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[int, Future[str]] = {}

    def pose(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what makes the problem: the global random state depends on the task alone."""
        return self._guard.call(self, self._posing, self._unwanted, function, *args, **kwargs)

    def play(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what follows: the global random state depends on the rollout's own seed."""
        return self._guard.call(self, self._playing, self._unwanted, function, *args, **kwargs)

    def ask(self, messages: list[Message]) -> str:
        """The model's reply to a conversation. Raises ModelError if there is none to be had."""
        if len(messages) > MAX_MESSAGES:
            raise BadEnvironment(f"The conversation has more than {MAX_MESSAGES} messages.")
        rid, answer = next(_numbers), Future[str]()
        with self._lock:
            if self._unwanted.is_set():
                raise Cancelled
            self._open[rid] = answer
        body = {"messages": messages}
        self._wire.send("model", rid=rid, id=self._number, role="policy", body=body)
        return answer.result()

    def answer(self, rid: int, reply: dict[str, Any]) -> bool:
        """Hand over the worker's `reply` frame; False if this attempt did not ask for it."""
        with self._lock:
            waiting = self._open.pop(rid, None)
        if waiting is None:
            return False
        if "error" in reply:
            waiting.set_exception(ModelError(reply["error"]))
        else:
            waiting.set_result(reply["body"]["choices"][0]["message"]["content"])
        return True

    def cancel(self) -> None:
        """End it as soon as it can be ended."""
        with self._lock:
            self._unwanted.set()
            waiting = list(self._open.values())
            self._open.clear()
        for one in waiting:
            one.set_exception(Cancelled())
        self._guard.interrupt(self)
