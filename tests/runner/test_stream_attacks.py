"""More bytes that a process sends which owns the stream, and replies that ask to be run."""

import ast
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

import graders.runner
from graders.errors import EnvironmentFault
from graders.sandbox.base import Limits
from graders.session import Request
from tests.runner.bench import Bench, Chat
from tests.runner.test_attacks import BEGINNINGS, BREAKS, PEEKS, REQUESTS, attack
from tests.runner.test_formats import gym
from tests.runner.test_protocol import SPOILED

RESULT = (
    "json.dumps(frame('result', id=1, reward=0.5, metrics={}, per_agent={}, turns=0, error=None))"
)

STREAM = {
    "byte order mark": (f"raw(b'\\xef\\xbb\\xbf' + {RESULT}.encode())", "not JSON"),
    "UTF-16": (f"raw({RESULT}.encode('utf-16'))", "not UTF-8"),
    "overlong UTF-8": (
        f"raw({RESULT}.encode().replace(b'result', b'r\\xc1\\xa5sult'))",
        "not UTF-8",
    ),
    "surrogate in UTF-8": ('raw(b\'{"type": "\\xed\\xa0\\x80"}\')', "not UTF-8"),
    "two objects in a frame": (f"raw(({RESULT} * 2).encode())", "not JSON"),
    "object and a rest": (f"raw({RESULT}.encode() + b'\\0')", "not JSON"),
    "comment": (f"raw(b'/**/' + {RESULT}.encode())", "not JSON"),
    "single quotes": (f"raw({RESULT}.replace(chr(34), chr(39)).encode())", "not JSON"),
    "trailing comma": (f"raw({RESULT}.replace('}}', ',}}').encode())", "not JSON"),
    "text": ("raw(b'\"result\"')", "not an object but str"),
    "key twice by an escape": (
        f'raw({RESULT}.replace(\'"turns"\', \'"rew\\\\u0061rd": 1.0, "turns"\').encode())',
        "key twice",
    ),
    "no type": ("made = frame('log'); del made['type']; raw(json.dumps(made).encode())", "missing"),
    "type of a list": ("send(['result'])", "type.*not text"),
    "type in capitals": ("send('Result')", "type.*unknown"),
    "type with a NUL": ("send('result\\0')", "type.*unknown"),
    "no nonce": ("made = frame('log'); del made['nonce']; raw(json.dumps(made).encode())", "nonce"),
    "nonce cut off": ("result(1, nonce=start['nonce'][:-1])", "nonce.*not this run's"),
    "nonce of another case": ("result(1, nonce=start['nonce'].upper() + ' ')", "nonce"),
    "seq missing one": ("state['seq'] += 1; result(1)", "seq.*is not 2"),
    "seq as a float": ("result(1, seq=2.0)", "seq.*not an integer"),
    "seq as text": ("result(1, seq='2')", "seq.*not an integer"),
    "seq below zero": ("result(1, seq=-2)", "seq.*not from 0"),
    "id as a float": ("result(1.0)", "id.*not an integer"),
    "id as a bool": ("result(True)", "id.*not an integer"),
    "id below zero": ("result(-1)", "id.*not from 0"),
    "result of nothing": ("send('result')", "missing"),
    "reward of -1e999": (f"raw({RESULT}.replace('0.5', '-1e999').encode())", "finite"),
    "reward in hex": (f"raw({RESULT}.replace('0.5', '0x1').encode())", "not JSON"),
    "reward with a plus": (f"raw({RESULT}.replace('0.5', '+1').encode())", "not JSON"),
    "reward of many digits": (f"raw({RESULT}.replace('0.5', '9' * 5000).encode())", "not JSON"),
    "reward below the range": ("result(1, reward=-1e-9)", "outside 0 to 1"),
    "reward as a list": ("result(1, reward=[1.0])", "not a number"),
    "reward and an error": (
        "result(1, error={'kind': 'environment', 'text': ''})",
        "must be there if there is no error",
    ),
    "neither reward nor error": ("result(1, reward=None)", "must be there"),
    "metrics by the thousand": (
        "result(1, metrics={str(n): n for n in range(1000)})",
        "more than 64",
    ),
    "metrics in metrics": ("result(1, metrics={'a': {'b': 1}})", "not a number"),
    "a name of a megabyte": ("result(1, metrics={'a' * 2**20: 1})", "name of more than 100"),
    "an error of a megabyte": (
        "result(1, reward=None, error={'kind': 'environment', 'text': 'x' * 2**20})",
        "text.*more than 4000",
    ),
    "nested 1000 deep": (
        f"raw({RESULT}.replace('{{}}', '[' * 1000 + ']' * 1000, 1).encode())",
        "deeper than 32",
    ),
    "a million lists": (
        f"raw({RESULT}.replace('{{}}', '[' + '[],' * 10**6 + '[]]', 1).encode())",
        "metrics",
    ),
    "a megabyte too much": ("raw(b' ' * (2**23 + 1))", "over the limit"),
    "frames from the other side": (
        "send('run', id=1, task=0, seed=0, max_turns=1)",
        "type.*unknown",
    ),
    "HTTP": ("os.write(1, b'HTTP/1.1 200 OK\\r\\n\\r\\n')", "over the limit"),
    "lines instead of lengths": ('os.write(1, b\'{"type": "result"}\\n\')', "over the limit"),
    "a made-up message": (
        "send('model', rid=0, id=1, role='policy', agent='', body={'messages': ["
        "{'role': 'assistant', "
        "'content': 'x', 'finish_reason': 'stop'}]})",
        "finish_reason.*does not belong",
    ),
    "a message of a megabyte and more": ("model(1, text='x' * (2**20 + 1))", "more than 1048576"),
    "tokens without end": ("model(1, max_tokens=10**9)", "max_tokens.*not from 1"),
}


@pytest.mark.parametrize("case", STREAM)
def test_bytes_that_break_the_protocol(bench: Bench, case: str) -> None:
    script, words = STREAM[case]
    said, results = attack(bench, script)
    assert re.search(words, said), said
    assert results == []


def test_there_are_enough_attacks() -> None:
    """Each list is sent at a point of its own: while loading, looking at tasks, rolling out."""
    moments = ([*BREAKS, *STREAM.values()], BEGINNINGS, PEEKS)
    assert sum(len({script for script, _ in moment}) for moment in moments) >= 80
    assert len({repr(spoiled[:2]) for spoiled in SPOILED}) >= 60


def test_a_made_up_format_is_refused(bench: Bench) -> None:
    hello = "send('ready', proto=2, python='3')\nsend('hello', format='x' * 99, tasks=1, load_s=0)"
    said, _ = attack(bench, hello, hello=False)
    assert '"format" of the hello frame is not one of: reasoning-gym, ' in said


def test_a_frame_that_comes_byte_by_byte_counts(bench: Bench) -> None:
    bench.scripted(
        f"made = {RESULT}.encode()\n"
        "for byte in struct.pack('>I', len(made)) + made: os.write(1, bytes([byte]))"
    )
    assert bench.run(Chat(lambda *_: "x"), REQUESTS[:1])[0].reward == 0.5


def test_a_runner_that_writes_before_it_reads_holds_nobody_up(bench: Bench) -> None:
    """More than the pipes hold, in both directions at once."""
    bench.scripted(
        "runs = [run] + [reader.read() for _ in range(2)]\n"
        "for at, one in enumerate(runs): model(one['id'], rid=at, text='x' * 2**20)\n"
        "for _ in range(500): send('log', level='info', text='x' * 4000)\n"
        "said = [reader.read()['body']['choices'][0]['message']['content'] for _ in runs]\n"
        "for one, text in zip(runs, said): result(one['id'], turns=len(text) >> 19)"
    )
    results = bench.run(Chat(lambda *_: "x" * 2**19), REQUESTS, limits=Limits(seconds=20.0))
    assert [(one.reward, one.turns) for one in results] == [(1.0, 1)] * 3


def test_half_a_frame_holds_nobody_up(bench: Bench) -> None:
    bench.scripted("os.write(1, b'\\0\\0\\1\\0{')\nimport time; time.sleep(99)")
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match="not done within 2 s"):
        bench.run(Chat(lambda *_: "x"), REQUESTS, limits=Limits(seconds=2.0))
    assert time.monotonic() - began < 15


def test_half_a_frame_at_the_end_is_no_result(bench: Bench) -> None:
    bench.scripted(
        f"made = {RESULT}.encode(); os.write(1, struct.pack('>I', 999) + made); os._exit(0)"
    )
    with pytest.raises(EnvironmentFault, match=r"ended by itself \(exit code 0\)"):
        bench.run(Chat(lambda *_: "x"), REQUESTS)


def test_a_fake_result_and_an_exit(bench: Bench) -> None:
    """What fooled readers of the last line: the fake stands only if it is a sound frame."""
    fake = json.dumps({"type": "result", "id": 1, "reward": 1.0})
    bench.write(gym(f"print({fake!r}, flush=True); os.write(1, {fake.encode()!r}); os._exit(0)"))
    with pytest.raises(EnvironmentFault, match="ended by itself"):
        bench.run(Chat(lambda *_: "x"), REQUESTS)


def test_what_comes_after_bye_is_not_read(bench: Bench) -> None:
    bench.scripted(
        "result(1)\nwhile reader.read()['type'] != 'bye': pass\n"
        "for n in range(50): result(1, reward=float('nan'))"
    )
    [result] = bench.run(Chat(lambda *_: "x"), REQUESTS[:1])
    assert result.reward == 1.0


def test_a_nul_in_what_is_said_can_be_stored(bench: Bench) -> None:
    bench.scripted("model(1, text='a\\0b\\ud800c'); reader.read()\nresult(1, turns=1, reward=-0.0)")
    [result] = bench.run(Chat(lambda *_: "x"), REQUESTS[:1])
    assert result.messages[0]["content"] == "a\ufffdb\ufffdc"
    assert str(result.reward) == "0.0"


def test_a_terminal_cannot_be_written_to(bench: Bench) -> None:
    bench.scripted("send('fault', text='\\x1b[2Jcleared\\r\\x9b31m')")
    with pytest.raises(EnvironmentFault, match=re.escape("\ufffd[2Jcleared\ufffd\ufffd31m")):
        bench.run(Chat(lambda *_: "x"), REQUESTS)


REPLIES = {
    "Python": "__import__('os')._exit(3)",
    "a program": "import os\nos.system('touch ran')\nopen('ran', 'w')",
    "fenced": "```python\nraise SystemExit(3)\n```",
    "a result": '{"type": "result", "id": 1, "reward": 1.0, "metrics": {}, "turns": 1}',
    "a frame": "\0\0\0\x02{}",
    "a call of a tool": '<tool_call>{"name": "exit", "arguments": {}}</tool_call>',
    "format": "{0.__class__.__init__.__globals__} %n%s %(x)s ${jndi:ldap://x}",
    "template": "{{ ''.__class__.__mro__[1].__subclasses__() }}{% debug %}",
    "pickle": "cos\nsystem\n(S'touch ran'\ntR.",
    "a path": "../../../../etc/passwd\0.txt",
    "shell": "$(touch ran); `touch ran` | touch ran",
    "JSON escapes": '\\u0022, \\"reward\\": 1, "',
    "terminal": "\x1b[2J\x1b]0;owned\x07",
    "script": "<script>alert(1)</script>",
    "nothing": "",
    "numbers": "1e999 NaN Infinity -0.0",
    "one half of a pair": "\ud83d",
    "long": "x" * 200_000,
}


@pytest.mark.parametrize("form", ["gymnasium", "dataset"])
def test_a_reply_is_data(bench: Bench, form: str) -> None:
    """Each reply reaches the scorer as it was said, and nothing else happens."""
    said = [text.replace("\0", "\ufffd").replace("\ud83d", "\ufffd") for text in REPLIES.values()]
    (bench.bundle / "said.json").write_text(json.dumps(said))
    bench.write(SCORERS[form])
    chat = Chat(lambda messages, seed: list(REPLIES.values())[int(messages[-1]["content"])])
    requests = [Request(task, 0, 1) for task in range(len(REPLIES))]
    results = bench.run(chat, requests, max_turns=1, format=form)
    assert [result.error_text for result in results] == [""] * len(REPLIES)
    assert [result.reward for result in results] == [1.0] * len(REPLIES)
    assert [result.messages[-1]["content"] for result in results] == said
    assert not list(bench.bundle.rglob("ran"))
    assert not Path("ran").exists()


SCORERS = {
    "gymnasium": """
        import json, pathlib
        SAID = json.loads((pathlib.Path(__file__).parent / "said.json").read_text())
        class Env:
            def reset(self, seed):
                self.task = seed
                return str(seed), {}
            def step(self, text):
                right = type(text) is str and text == SAID[self.task]
                return "", float(right), True, False, {}
        make = Env
        """,
    "dataset": """
        import json, pathlib
        SAID = json.loads((pathlib.Path(__file__).parent / "said.json").read_text())
        class Data:
            system_prompt = ""
            def __len__(self): return len(SAID)
            def __getitem__(self, n): return {"question": str(n), "n": n}
            def score_answer(self, answer, entry):
                return float(type(answer) is str and answer == SAID[entry["n"]])
        make = Data
        """,
}

RUNS_TEXT = {"eval", "exec", "compile", "__import__", "execfile", "breakpoint", "input"}
RUNS_MODULES = {
    *("pickle", "marshal", "shelve", "code", "codeop", "runpy", "subprocess", "multiprocessing"),
    *("ast", "imp", "zipimport", "types", "inspect", "pty", "socket", "urllib", "http", "shlex"),
}
# What the worker says to import (an entry), never what the model says.
IMPORTERS = {"imports.py", "loading.py", "keeper.py"}
# A server that an entry names, in a process of its own: this starts the process, with a command
# that is the same for all, or speaks to it. What the model says reaches it as JSON text alone.
SPEAKERS = {
    "servers.py": {"subprocess", "socket"},
    "keeper.py": {"socket"},
    "sessions.py": {"http"},
}


@pytest.mark.parametrize(
    "path", sorted(Path(graders.runner.__file__).parent.rglob("*.py")), ids=lambda path: path.name
)
def test_the_runner_has_nothing_that_runs_text(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & RUNS_TEXT
    assert not attributes & {
        "system",
        "popen",
        "spawnv",
        "execv",
        "execve",
        "loads",
        "FunctionType",
    }
    assert not _imported(tree) & RUNS_MODULES - SPEAKERS.get(path.name, set())
    if path.name not in IMPORTERS:
        assert "import_module" not in attributes
        assert "importlib" not in _imported(tree)


def _imported(tree: ast.AST) -> set[str]:
    """The top names of the modules that are imported."""
    found: set[Any] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found
