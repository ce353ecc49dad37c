"""What the worker does around rollouts: caps, the model's failures, time, and whose fault it is."""

import asyncio
import signal
import threading
import time
from typing import Any

import pytest

from graders import endings, link, session
from graders.errors import (
    EnvironmentFault,
    GraderError,
    ModelUnavailable,
    PlatformFault,
    PromptTooLong,
)
from graders.sandbox.base import Ending, EndReason, Limits, SandboxUnavailable, Spec
from graders.session import Request, RolloutResult
from tests.runner.bench import Bench, Chat, completion
from tests.runner.local import Local
from tests.runner.test_formats import gym

REQUESTS = [Request(task, 0, task) for task in range(4)]
ENDLESS = gym("return 'on', 0.0, False, False, {}", "return str(seed), {}")


def raising(error: Exception) -> Chat:
    def say(messages: list[dict[str, str]], seed: int) -> str:
        if messages[0]["content"] == "1" and len(messages) > 1:
            raise error
        return "x"

    return Chat(say)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ModelUnavailable("down"), "model"), (PromptTooLong("too long"), "context")],
)
def test_a_model_without_an_answer_is_never_a_reward(
    bench: Bench, error: Exception, kind: str
) -> None:
    bench.write(ENDLESS)
    results = bench.run(raising(error), REQUESTS, max_turns=3)
    assert [one.error_kind for one in results] == [None, kind, None, None]
    assert [one.reward for one in results] == [0.0, None, 0.0, 0.0]
    failed = results[1]
    assert (failed.error_text, failed.turns, failed.metrics) == (str(error), 1, {})
    assert [one["content"] for one in failed.messages] == ["1", "x", "on"]


def test_the_workers_word_counts_when_the_runner_hides_a_failed_call(bench: Bench) -> None:
    script = "model(1)\nreader.read()\nresult(1, reward=1.0, metrics={'m': 1})"
    bench.scripted(script)
    chat = Chat(lambda *_: {"choices": []})
    result = bench.run(chat, [Request(0, 0, 0)])[0]
    assert (result.error_kind, result.reward, result.metrics) == ("model", None, {})


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"choices": None},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": 5}}]},
        completion("x" * (2**20 + 1)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_completion_is_the_models_failure(bench: Bench, said: Any) -> None:
    bench.write(gym())
    result = bench.run(Chat(lambda *_: said), [Request(0, 0, 0)])[0]
    assert result.error_kind == "model"


@pytest.mark.parametrize("error", [GraderError("odd"), PlatformFault("odd"), KeyError("odd")])
def test_any_other_failure_of_the_chat_ends_the_run(bench: Bench, error: Exception) -> None:
    bench.write(ENDLESS)
    with pytest.raises(type(error), match="odd"):
        bench.run(raising(error), REQUESTS)


def test_what_on_result_raises_ends_the_run_and_the_runner(bench: Bench) -> None:
    bench.write(ENDLESS)

    def refuse(result: RolloutResult) -> None:
        assert threading.current_thread() is threading.main_thread()
        raise LookupError("lease lost")

    began = time.monotonic()
    with (
        pytest.raises(LookupError, match="lease lost"),
        bench.session(Chat(lambda *_: "x")) as opened,
    ):
        opened.run(REQUESTS, refuse)
    assert bench.sandbox.started[0].wait().reason is EndReason.KILLED
    assert time.monotonic() - began < 10


def test_no_more_rollouts_than_agreed_are_in_flight(bench: Bench) -> None:
    bench.write(ENDLESS)
    lock, here, most = threading.Lock(), [0], [0]

    def say(messages: list[dict[str, str]], seed: int) -> str:
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        time.sleep(0.03)
        with lock:
            here[0] -= 1
        return "x"

    requests = [Request(task, 0, 0) for task in range(12)]
    bench.run(Chat(say), requests, concurrency=3, max_turns=2)
    assert most[0] == 3


def test_a_session_may_peek_and_run_more_than_once(bench: Bench) -> None:
    bench.write(ENDLESS)
    results: list[RolloutResult] = []
    with bench.session(Chat(lambda *_: "x"), max_turns=1) as opened:
        for _ in range(2):
            assert [one.task for one in opened.peek([3, 1, 3])] == [3, 1, 3]
            opened.run(REQUESTS, results.append)
        assert opened.close() == opened.close()
    assert len(results) == 8


GREEDY = """
for rid in range(9):
    model(1, rid=rid)
    got = reader.read()
    while got["type"] != "reply":
        if got["type"] == "cancel":
            result(1, reward=None, error={"kind": "environment", "text": "cancelled"})
            for number in range(2, 5): result(number)
        got = reader.read()
"""


def test_a_rollout_that_asks_too_often_is_cancelled(bench: Bench) -> None:
    bench.scripted(GREEDY)
    results = bench.run(Chat(lambda *_: "x"), REQUESTS, max_turns=3)
    assert [one.error_kind for one in results] == ["environment", None, None, None]
    assert results[0].error_text == "It called the model more than 5 times."
    assert results[0].turns == 5


def test_a_rollout_over_its_tokens_is_cancelled(bench: Bench) -> None:
    bench.write(ENDLESS)
    chat = Chat(lambda messages, _: completion("x", tokens=90 * (messages[0]["content"] == "2")))
    results = bench.run(chat, REQUESTS, max_turns=4, rollout_tokens=190)
    assert [one.error_kind for one in results] == [None, None, "environment", None]
    assert results[2].error_text == "It used more than 190 tokens."
    assert (results[2].tokens_in, results[2].tokens_out) == (20, 180)


def test_a_rollout_with_too_much_text_is_cancelled(bench: Bench) -> None:
    source = gym("return 'y' * 2**20, 0.0, False, False, {}", "return 'x' * 2**20, {}")
    result = bench.one(source)
    assert result.error_text == "Its prompts have more than 4194304 characters together."
    assert result.turns == 3


def test_a_rollout_over_its_time_is_cancelled_and_others_go_on(bench: Bench) -> None:
    source = "time.sleep(0.8 if text == 'slow' else 0.0); return 'on', 0.1, False, False, {}"
    bench.write(gym(source, "return str(seed), {}"))
    chat = Chat(lambda messages, _: "slow" if messages[0]["content"] == "2" else "x")
    results = bench.run(chat, REQUESTS, max_turns=6, rollout_s=2.0, concurrency=1)
    assert [one.error_kind for one in results] == [None, None, "environment", None]
    assert "It took more than 2 s" in results[2].error_text
    assert 2.0 < results[2].seconds < 4.0


def test_the_models_time_is_not_the_rollouts(bench: Bench) -> None:
    bench.write(gym())

    def say(messages: list[dict[str, str]], seed: int) -> str:
        time.sleep(1.5)
        return "x"

    result = bench.run(Chat(say), [Request(0, 0, 0)], rollout_s=1.0)[0]
    assert result.reward == 1.0
    assert 1.5 <= result.model_seconds <= result.seconds


def test_rollouts_that_ignore_their_end_end_the_runner(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graders.flight.CANCEL_S", 1.0)
    bench.scripted("")
    results: list[RolloutResult] = []
    with (
        pytest.raises(EnvironmentFault, match="do not end when they are cancelled"),
        bench.session(Chat(lambda *_: "x"), rollout_s=0.2, concurrency=2) as opened,
    ):
        opened.run(REQUESTS, results.append)
    assert [one.error_kind for one in results] == ["environment"] * 2


@pytest.mark.parametrize("place", ["import", "make"])
def test_an_environment_that_does_not_load_in_time(bench: Bench, place: str) -> None:
    act = "import time; time.sleep(99)"
    bench.write(act if place == "import" else f"def make(): {act}")
    with pytest.raises(EnvironmentFault, match="did not load within 1 s"):
        bench.run(None, REQUESTS, load_s=1.0)
    assert bench.sandbox.started[0].wait().reason is EndReason.KILLED


def test_a_sandbox_that_does_not_start_is_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "START_S", 1.0)
    bench.scripted("", hello=False)
    with pytest.raises(PlatformFault, match="did not start within 1 s"):
        bench.run(None, REQUESTS)


def test_a_runner_that_ends_before_it_runs_is_ours(bench: Bench) -> None:
    bench.scripted("sys.exit('no such file')", hello=False)
    with pytest.raises(PlatformFault, match=r"could not start the runner(.*\n)*.*no such file"):
        bench.run(None, REQUESTS)


@pytest.mark.parametrize("error", [SandboxUnavailable("full"), ValueError("bad"), OSError("gone")])
def test_no_sandbox_is_ours(bench: Bench, error: Exception) -> None:
    class Broken(Local):
        def start(self, spec: Spec) -> Any:
            raise error

    (bench.bundle / "scratch").mkdir()
    bench.sandbox = Broken(bench.bundle / "scratch")
    with pytest.raises(PlatformFault, match=f"could not be started: {error}"):
        bench.run(None, REQUESTS)


def test_a_bundle_that_is_missing_is_ours(bench: Bench) -> None:
    with pytest.raises(PlatformFault, match="does not exist"):
        bench.run(None, REQUESTS, bundle=bench.bundle / "nowhere")


def test_args_that_cannot_be_sent(bench: Bench) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be sent to it: nan"):
        bench.run(None, REQUESTS, args={"a": float("nan")})


def test_time_spent_by_the_environment_is_its_fault(bench: Bench) -> None:
    bench.write(gym("time.sleep(99)"))
    with pytest.raises(EnvironmentFault, match="was not done within 2 s"):
        bench.run(Chat(lambda *_: "x"), REQUESTS, limits=Limits(seconds=2.0))


def test_time_spent_on_the_model_is_ours(bench: Bench) -> None:
    bench.write(ENDLESS)

    def say(messages: list[dict[str, str]], seed: int) -> str:
        time.sleep(0.5)
        return "x"

    with pytest.raises(PlatformFault, match="2 s passed, most of it waiting for the model"):
        bench.run(Chat(say), REQUESTS, limits=Limits(seconds=2.0), max_turns=99)


class Silent(Chat):
    """A model that is asked and never answers; `ends` says how that went."""

    def __init__(self) -> None:
        super().__init__(lambda *_: "")
        self.ends: list[str] = []

    async def chat(self, body: dict[str, Any], seed: int) -> dict[str, Any]:
        self.asked.append((body, seed))
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            self.ends.append("call")

    async def __aexit__(self, *_: object) -> None:
        self.ends.append("model")


def test_what_the_model_was_asked_ends_with_the_session(bench: Bench) -> None:
    bench.write(ENDLESS)
    chat = Silent()
    with pytest.raises(PlatformFault, match="waiting for the model"):
        bench.run(chat, REQUESTS, limits=Limits(seconds=2.0))
    assert len(chat.asked) == len(REQUESTS)
    assert chat.ends == ["call"] * len(REQUESTS) + ["model"]


def ending(reason: EndReason, stderr: str = "", code: int = 1) -> Ending:
    return Ending(reason, code, 1.0, None, stderr)


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        (EndReason.EXITED, EnvironmentFault, "ended by itself (exit code 1)"),
        (EndReason.OUT_OF_MEMORY, EnvironmentFault, "ran out of memory; it may use 512 MiB"),
        (EndReason.OUTPUT_LIMIT, EnvironmentFault, "more than 64 MiB"),
        (EndReason.TIMEOUT, EnvironmentFault, "within 300 s"),
        (EndReason.KILLED, EnvironmentFault, "stopped talking"),
        (EndReason.LOST, PlatformFault, "The sandbox failed."),
    ],
)
def test_how_endings_are_explained(reason: EndReason, kind: type[GraderError], words: str) -> None:
    found = endings.explain(ending(reason), Limits(), ready=True, model_share=0.4)
    assert type(found) is kind
    assert words in str(found)
    early = endings.explain(ending(reason), Limits(), ready=False, model_share=0.0)
    assert isinstance(early, PlatformFault)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_sandbox_that_is_killed_from_outside_is_ours(number: signal.Signals) -> None:
    """As the kernel does where the machine has no memory left, or a daemon that stops."""
    found = endings.explain(
        ending(EndReason.EXITED, code=128 + number), Limits(), ready=True, model_share=0.0
    )
    assert isinstance(found, PlatformFault)
    assert "killed from outside" in str(found)
    own = ending(EndReason.OUT_OF_MEMORY, code=128 + number)
    assert isinstance(endings.explain(own, Limits(), ready=True, model_share=0.0), EnvironmentFault)


def test_the_last_of_standard_error_is_shown_clean() -> None:
    text = "\n".join(f"line {n}\0" for n in range(99))
    said = str(endings.explain(ending(EndReason.EXITED, text), Limits(), ready=True, model_share=0))
    assert said.endswith("line 98\ufffd")
    assert "line 79\ufffd" in said
    assert "line 78" not in said


def test_the_transcript_keeps_what_an_environment_rewrites(bench: Bench) -> None:
    script = """
def talk(rid, *messages):
    body = {"messages": [dict(zip(("role", "content"), one)) for one in messages]}
    send("model", rid=rid, id=1, role="policy", agent="", body=body)
    reader.read()
system, user = ("system", "s"), ("user", "u")
talk(0, system, user)
talk(1, system, user, ("assistant", "A0"), ("user", "v"))
talk(2, system, ("assistant", "I never said this"), ("user", "w"))
talk(3, system)
result(1, turns=4)
"""
    bench.scripted(script)
    chat = Chat(lambda *_: f"A{len(chat.asked) - 1}")
    messages = bench.run(chat, [Request(0, 0, 0)])[0].messages
    shown = [(one["content"], one.get("replaces_from"), "usage" in one) for one in messages]
    assert shown == [
        ("s", None, False),
        ("u", None, False),
        ("A0", None, True),
        ("v", None, False),
        ("A1", None, True),
        ("I never said this", 1, False),
        ("w", None, False),
        ("A2", None, True),
        ("A3", 1, True),
    ]


def test_max_tokens_reaches_the_model(bench: Bench) -> None:
    bench.scripted("model(1, max_tokens=7)\nreader.read()\nresult(1)")
    chat = Chat(lambda *_: "x")
    bench.run(chat, [Request(0, 0, 0)])
    question = [{"role": "user", "content": "question"}]
    assert chat.asked[0][0] == {"messages": question, "max_tokens": 7}


def test_the_spec_is_what_the_sandbox_gets(bench: Bench) -> None:
    seen: list[Spec] = []

    class Watching(Local):
        def start(self, spec: Spec) -> Any:
            seen.append(spec)
            return super().start(spec)

    (bench.bundle / "scratch").mkdir()
    bench.sandbox = Watching(bench.bundle / "scratch")
    bench.write(gym())
    bench.run(Chat(lambda *_: "x"), REQUESTS, job="job-7", limits=Limits(seconds=50))
    spec = seen[0]
    targets = {mount.target: mount.source for mount in spec.mounts}
    assert targets == {"/env": bench.bundle, "/opt/practicum_runner": link.RUNNER}
    assert (spec.job, spec.limits) == ("job-7", Limits(seconds=50))
    assert spec.argv[0] == "python3"
