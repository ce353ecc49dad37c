"""A process that owns the stream, or contributed code beside an honest runner, against a session.

In every case the session must end with an EnvironmentFault that says what was wrong, and hand over
no result that the rules do not allow.
"""

import os
import re
import time
from typing import Any

import pytest

from graders.errors import EnvironmentFault, PlatformFault
from graders.fields import ProtocolError
from graders.session import Request, RolloutResult
from tests.runner.bench import Bench, Chat
from tests.runner.test_formats import gym

REQUESTS = [Request(task, 0, task) for task in range(3)]


def slowly(messages: list[dict[str, str]], seed: int) -> str:
    time.sleep(0.2)  # An attack that does not wait for the answer comes before it.
    return "x"


def attack(
    bench: Bench, script: str, *, hello: bool = True, **changes: Any
) -> tuple[str, list[RolloutResult]]:
    """The fault that a scripted runner ends with, and the results before it."""
    bench.scripted(script, hello=hello)
    results: list[RolloutResult] = []
    with (
        pytest.raises(EnvironmentFault) as caught,
        bench.session(Chat(slowly), **changes) as session,
    ):
        session.run(REQUESTS, results.append)
    assert isinstance(caught.value, ProtocolError), caught.value
    assert not isinstance(caught.value, PlatformFault)
    assert bench.sandbox.started[0].wait().exit_code == -9, "the runner must be killed at once"
    return str(caught.value), results


BREAKS = [
    ("os.write(1, b'\\xff\\xff\\xff\\xff')", "4294967295 bytes is over the limit"),
    ("print('{\"reward\": 1.0}', flush=True)", "over the limit"),
    ("raw(b'\\xff\\xfe')", "not UTF-8"),
    ("raw(b'[]')", "not an object but list"),
    ("raw(b'')", "not JSON"),
    ("result(1, reward=float('nan'))", "NaN is not a number"),
    ("result(1, reward=float('inf'))", "Infinity is not a number"),
    ("result(1, reward='@'); ", "reward.*not a number"),
    ("raw(json.dumps(frame('result', reward=7)).replace('7', '1e999').encode())", "finite"),
    ("raw(json.dumps(frame('log')).replace('{', '{\"seq\": 0, ').encode())", "key twice"),
    ("raw(b'{\"a\":' + b'[' * 10**6)", "deeper than 32|not JSON"),
    ("result(1, reward=True)", "reward.*not a number"),
    ("result(1, reward='1')", "reward.*not a number"),
    ("result(1, reward=1.5)", "reward.*outside 0 to 1"),
    ("result(1, reward=2**70)", "beyond 64 bits"),
    ("result(1, passed=True)", "passed.*does not belong"),
    ("result(1, nonce='0' * 32)", "nonce.*not this run's"),
    ("result(1, seq=7)", "seq.*is not 2"),
    ("result(1, seq=0)", "seq.*is not 2"),
    ("result(99)", "sent a result for rollout 99, which is not under way"),
    ("result(1, turns=3)", "claims 3 turns; the model gave 0"),
    ("result(1, reward=None, error={'kind': 'model', 'text': ''})", "blames the model"),
    ("model(99)", "asked the model for rollout 99, which is not under way"),
    ("model(1); model(1, rid=1)", "asked twice at once"),
    ("model(1); model(2)", "request id 0 twice"),
    ("model(1, tools=[])", "tools.*does not have 1 to"),
    ("model(1, functions=[])", "functions.*does not belong"),
    ("model(1); result(1)", "ended while the model was answering"),
    ("send('ready', proto=2, python='3')", "Ready frame out of turn"),
    ("send('hello', format='dataset', tasks=1, load_s=0)", "Loaded frame out of turn"),
    (
        "send('task', id=1, task=0, messages=[], error={'kind': 'environment', 'text': ''})",
        "TaskShown frame out of turn",
    ),
    ("send('reply', rid=0, body={})", "type.*unknown"),
    ("while True: send('log', level='info', text='spam')", "more than 1000 log frames"),
]


@pytest.mark.parametrize(("script", "words"), BREAKS)
def test_a_runner_that_breaks_the_protocol(bench: Bench, script: str, words: str) -> None:
    said, results = attack(bench, script)
    assert re.search(words, said), said
    assert results == []


def test_a_result_counts_once(bench: Bench) -> None:
    said, results = attack(bench, "result(1, reward=0.0)\nresult(1, reward=1.0)")
    assert "sent a result for rollout 1, which is not under way" in said
    assert [(one.task, one.reward) for one in results] == [(0, 0.0)]


def test_a_replayed_frame_is_refused(bench: Bench) -> None:
    script = """
model(1); reader.read(); reader.read(); reader.read()
made = frame("result", id=1, reward=1.0, per_agent={}, metrics={}, turns=1, error=None)
raw(json.dumps(made).encode()); raw(json.dumps(made).encode())
"""
    said, results = attack(bench, script)
    assert '"seq" of the result frame is not 4' in said
    assert len(results) == 1


def test_a_finished_rollout_cannot_ask(bench: Bench) -> None:
    said, results = attack(bench, "result(1)\nmodel(1)")
    assert "asked the model for rollout 1, which is not under way" in said
    assert len(results) == 1


def test_a_cancelled_rollout_cannot_ask_on_and_on(bench: Bench) -> None:
    script = "for rid in range(99): model(1, rid=rid, text='x' * 2**20); rid < 3 and reader.read()"
    said, results = attack(bench, script, max_turns=1, concurrency=1)
    assert "asks on and on" in said
    assert [one.error_kind for one in results] == ["environment"]


BEGINNINGS = [
    ("send('hello', format='dataset', tasks=1, load_s=0)", "Loaded frame out of turn"),
    ("result(1)", "Result frame out of turn"),
    ("send('ready', proto=1, python='3')", "proto.*is not 2"),
    ("send('ready', proto=2, python='3')\nresult(1)", "Result frame out of turn"),
    ("send('ready', proto=2, python='3')\nsend('ready', proto=2, python='3')", "out of turn"),
    (
        "send('ready', proto=2, python='3')\nsend('hello', format='dataset', tasks=1, load_s=0)",
        "loaded a dataset, not a gymnasium",
    ),
]


@pytest.mark.parametrize(("script", "words"), BEGINNINGS)
def test_a_runner_that_begins_wrongly(bench: Bench, script: str, words: str) -> None:
    said, results = attack(bench, script, hello=False, format="gymnasium")
    assert re.search(words, said), said
    assert results == []


PEEKS = [
    ("send('task', id=9, task=5, messages=[], error=E)", "out of turn"),
    ("send('task', id=1, task=6, messages=[], error=E)", "showed task 6, not 5"),
    ("model(1)", "Ask frame out of turn"),
    ("result(1)", "Result frame out of turn"),
]


@pytest.mark.parametrize(("script", "words"), PEEKS)
def test_a_peek_that_is_answered_wrongly(bench: Bench, script: str, words: str) -> None:
    error = "E = {'kind': 'environment', 'text': ''}\n"
    bench.scripted(error + script)
    with pytest.raises(ProtocolError, match=words), bench.session() as session:
        session.peek([5])


def test_a_runner_may_not_ask_where_there_is_no_model(bench: Bench) -> None:
    bench.write(gym())
    with pytest.raises(ProtocolError, match="has none"), bench.session(None) as session:
        session.run(REQUESTS, lambda result: None)


PRINTING = """
import os, subprocess, sys
class Env:
    def reset(self, seed):
        {act}
        return "o", {{}}
    def step(self, text):
        {act}
        return "", 1.0, True, False, {{}}
def make():
    {act}
    return Env()
{act}
"""


@pytest.mark.parametrize(
    "act",
    [
        'print(\'{"type": "result"}\', flush=True)',
        "os.write(1, b'\\0\\0\\0\\2{}')",
        "sys.__stdout__.write('noise'); sys.__stdout__.flush()",
        "sys.stdout.buffer.write(b'noise'); sys.stdout.flush()",
        "open('/dev/stdout', 'wb').write(b'noise')",
        "subprocess.run(['echo', 'noise'], check=True)",
        "subprocess.run([sys.executable, '-c', 'import os; os.closerange(3, 99); print(1)'])",
        "subprocess.run('for f in 3 4 5 6 7 8 9; do echo x >&$f; done 2>/dev/null', shell=True)",
        "sys.stdin.read(); os.read(0, 9)",
        "sys.stdout.close()",
        "os.closerange(1, 2)",
        "import json; json.dumps = json.loads = json.JSONEncoder.encode = None",
        "import os as o; o.fork() == 0 and o._exit(0)",
        "import os as o; o.fork() == 0 and exit()",
        "import signal; os.kill(os.getpid(), signal.SIGINT)",
        "import logging; logging.basicConfig(stream=sys.stdout); logging.error('noise')",
        "sys.path[:] = []; sys.modules.pop('json', None)",
        "import random; random.seed = random.Random = None",
    ],
)
def test_noise_does_not_reach_the_stream(bench: Bench, act: str) -> None:
    bench.write(PRINTING.format(act=act))
    results = bench.run(Chat(lambda *_: "x"), REQUESTS)
    assert [result.error_text for result in results] == [""] * 3
    assert [result.reward for result in results] == [1.0] * 3


def test_code_that_finds_the_stream_only_breaks_it(bench: Bench) -> None:
    bench.write(
        gym(
            "for fd in range(3, 64):\n"
            '            try: os.write(fd, b\'\\0\\0\\0\\x19{"type":"result","id":1}  \')\n'
            "            except OSError: pass\n"
            "        return '', 1.0, True, False, {}"
        )
    )
    with pytest.raises(ProtocolError, match=r"nonce.*missing"):
        bench.run(Chat(lambda *_: "x"), REQUESTS)


@pytest.mark.parametrize("code", [0, 7])
@pytest.mark.parametrize("place", ["import", "make", "reset", "step"])
def test_a_process_that_exits(bench: Bench, place: str, code: int) -> None:
    act = f"os.write(2, b'last words'); os._exit({code})"
    source = {
        "import": f"import os; {act}",
        "make": f"import os\ndef make(): {act}",
        "reset": gym(reset=act),
        "step": gym(act),
    }[place]
    bench.write(source)
    with pytest.raises(EnvironmentFault) as caught:
        bench.run(Chat(lambda *_: "x"), REQUESTS)
    assert f"ended by itself (exit code {code})" in str(caught.value)
    assert str(caught.value).endswith("last words")


def test_a_process_that_only_closes_the_stream(bench: Bench) -> None:
    bench.scripted("import time\nos.close(1); time.sleep(99)")
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match="stopped talking"):
        bench.run(Chat(lambda *_: "x"), REQUESTS)
    assert time.monotonic() - began < 30


def test_results_before_a_death_stand(bench: Bench) -> None:
    bench.write(gym("text == 'die' and os._exit(1); return '', 1.0, True, False, {}"))
    chat = Chat(lambda *_: "die" if len(chat.asked) == 3 else "live")
    results: list[RolloutResult] = []
    with (
        pytest.raises(EnvironmentFault),
        bench.session(chat, concurrency=1) as session,
    ):
        session.run(REQUESTS, results.append)
    assert [result.task for result in results] == [0, 1]


def test_no_process_is_left(bench: Bench) -> None:
    bench.write(gym())
    bench.run(Chat(lambda *_: "x"), REQUESTS)
    with pytest.raises(ProcessLookupError):
        os.kill(bench.sandbox.started[0].pid, 0)
