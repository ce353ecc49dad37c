"""Both formats, end to end through a real runner process."""

import json
import platform
import time
from typing import Any

import pytest

from graders.errors import EnvironmentFault
from graders.session import Request
from tests.runner.bench import Bench, Chat, completion

GUESS = """
class Guess:
    system_prompt = "Guess a number."
    num_tasks = 5

    def reset(self, seed):
        self.target, self.left = seed * 10, 3
        return f"Guess number {seed}.", {}

    def step(self, text):
        self.left -= 1
        right = text == str(self.target)
        info = {"metrics": {"left": self.left, "right": right, "note": "no number"}}
        return "higher", 0.7 if right else 0.1, right, self.left == 0, info

def make():
    return Guess()
"""

SUMS = """
class Sums:
    def __len__(self):
        return 7

    def __getitem__(self, index):
        return {"question": f"{index} + 1?", "answer": str(index + 1)}

    def score_answer(self, answer, entry):
        return 1.0 if answer == entry["answer"] else 0.0

def make(size=7):
    Sums.__len__ = lambda self: size
    return Sums()

ready = Sums()
"""


def gym(step: str = "return 'o', 1.0, True, False, {}", reset: str = "return 'o', {}") -> str:
    return f"""
import os, random, sys, time
class Env:
    def reset(self, seed):
        {reset}
    def step(self, text):
        {step}
make = Env
"""


def test_gymnasium_hello_and_peek(bench: Bench) -> None:
    bench.write(GUESS)
    with bench.session() as session:
        assert (session.hello.format, session.hello.tasks) == ("gymnasium", 5)
        assert session.hello.python == platform.python_version()
        previews = session.peek([4, 0, 2, 1, 3])
    assert [preview.task for preview in previews] == [4, 0, 2, 1, 3]
    assert previews[0].error is None
    assert previews[0].messages == [
        {"role": "system", "content": "Guess a number."},
        {"role": "user", "content": "Guess number 4."},
    ]


def test_gymnasium_takes_turns_and_sums_rewards(bench: Bench) -> None:
    bench.write(GUESS)
    chat = Chat(lambda messages, seed: "20" if len(messages) > 2 else "5")
    result = bench.run(chat, [Request(2, 3, 11)])[0]
    assert (result.task, result.number, result.seed) == (2, 3, 11)
    assert (result.reward, result.turns, result.error_kind) == (pytest.approx(0.8), 2, None)
    assert result.metrics == {"left": 1.0, "right": 1.0}
    contents = ["Guess a number.", "Guess number 2.", "5", "higher", "20"]
    assert [one["content"] for one in result.messages] == contents
    said = [one for one in result.messages if one["role"] == "assistant"]
    assert all(one["finish_reason"] == "stop" and one["usage"] for one in said)
    assert (result.tokens_in, result.tokens_out, result.truncated) == (20, 10, False)
    seeds = [seed for _, seed in chat.asked]
    assert len(set(seeds)) == 2
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert 0 <= result.model_seconds <= result.seconds


def test_call_seeds_depend_on_the_rollout_and_the_call_only(bench: Bench) -> None:
    bench.write(GUESS)
    seeds = []
    for _ in range(2):
        chat = Chat(lambda *_: "0")
        bench.run(chat, [Request(1, 0, 7), Request(1, 1, 8)], concurrency=1)
        seeds.append([seed for _, seed in chat.asked])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 6


def test_max_turns_ends_an_episode(bench: Bench) -> None:
    endless = gym("return 'go on', 0.25, False, False, {}")
    result = bench.one(endless, max_turns=3)
    assert (result.reward, result.turns, result.error_kind) == (0.75, 3, None)


def test_gymnasium_closes_each_environment_once(bench: Bench) -> None:
    bench.write(
        gym()
        + """
log = open(sys.path_hooks and __file__ + ".log", "a", buffering=1)
Env.close = lambda self: log.write("closed\\n")
"""
    )
    bench.run(Chat(lambda *_: "x"), [Request(0, n, n) for n in range(3)])
    assert (bench.bundle / "env.py.log").read_text() == "closed\n" * 3


def test_close_that_raises_does_not_cost_the_reward(bench: Bench) -> None:
    result = bench.one(gym() + "\nEnv.close = lambda self: 1 / 0\n")
    assert (result.reward, result.error_kind) == (1.0, None)


@pytest.mark.parametrize("entry", ["env:shared", "env:give"])
def test_a_single_environment_object_serves_one_rollout_at_a_time(bench: Bench, entry: str) -> None:
    bench.write(
        """
class Env:
    busy = False
    def reset(self, seed):
        assert not self.busy
        self.busy, self.seed = True, seed
        return str(seed), {}
    def step(self, text):
        self.busy = False
        return "", 1.0 if text == str(self.seed) else 0.0, True, False, {}
shared = Env()
def give():
    return shared
"""
    )

    def say(messages: list[dict[str, str]], seed: int) -> str:
        time.sleep(0.02)
        return messages[0]["content"]

    results = bench.run(Chat(say), [Request(task, 0, 0) for task in range(8)], entry=entry)
    assert [result.reward for result in results] == [1.0] * 8


def test_observations_may_be_messages_or_anything(bench: Bench) -> None:
    listed = [{"role": "system", "content": "a"}, {"role": "user", "content": "b", "name": "c"}]
    bench.write(gym(reset=f"return ({listed!r} if seed else {{'n': 1}}), {{}}"))
    with bench.session() as session:
        anything, messages = session.peek([0, 1])
    assert anything.messages == [{"role": "user", "content": "{'n': 1}"}]
    plain = [{"role": one["role"], "content": one["content"]} for one in listed]
    assert messages.messages == plain


def test_args_reach_the_entry(bench: Bench) -> None:
    bench.write(SUMS)
    with bench.session(args={"size": 3}) as session:
        assert session.hello.tasks == 3


@pytest.mark.parametrize("entry", ["env:make", "env:ready", "env:Sums"])
def test_dataset_scores_the_marked_answer(bench: Bench, entry: str) -> None:
    bench.write(SUMS)
    replies = {
        0: "<answer>3</answer> no: <answer> 1 </answer>.",
        1: "2",
        2: "it is 3",
        3: "<answer>5</answer>",
    }
    chat = Chat(lambda messages, _: replies[int(messages[-1]["content"][0])])
    results = bench.run(chat, [Request(task, 0, 5) for task in replies], entry=entry)
    assert [result.reward for result in results] == [1.0, 1.0, 0.0, 0.0]
    assert [result.turns for result in results] == [1] * 4
    assert [one["role"] for one in results[0].messages] == ["system", "user", "assistant"]
    assert "<answer>" in results[0].messages[0]["content"]


def test_dataset_with_a_system_prompt_scores_the_whole_reply(bench: Bench) -> None:
    bench.write(SUMS + "\nSums.system_prompt = ''\n")
    chat = Chat(lambda *_: "<answer>1</answer>")
    result = bench.run(chat, [Request(0, 0, 5)])[0]
    assert result.reward == 0.0
    assert [one["role"] for one in result.messages] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("length", "tasks"),
    [
        ("del Sums.__len__", None),
        ("Sums.__len__ = lambda self: sys.maxsize", None),
        ("Sums.__len__ = lambda self: 10**30", None),
        ("Sums.__len__ = lambda self: 10**6", 10**6),
    ],
)
def test_dataset_length(bench: Bench, length: str, tasks: int | None) -> None:
    bench.write(f"import sys\n{SUMS}\n{length}\n")
    with bench.session(entry="env:ready") as session:
        assert session.hello.tasks == tasks


def test_an_index_error_is_that_tasks_error(bench: Bench) -> None:
    bench.write(
        """
class Rows(list):
    def score_answer(self, answer, entry):
        return 1.0
make = lambda: Rows([{"question": "q"}, {"query": "q"}])
"""
    )
    with bench.session() as session:
        good, bad, missing = session.peek([0, 1, 2])
    assert good.error is None
    assert bad.error is not None
    assert "Entry 1 is {'query': 'q'}" in bad.error
    assert missing.error is not None
    assert missing.error.startswith("IndexError: list index out of range")


@pytest.mark.parametrize(
    ("value", "reward"),
    [
        ("True", 1.0),
        ("False", 0.0),
        ("1", 1.0),
        ("fractions.Fraction(1, 4)", 0.25),
        ("np.float32(0.5)", 0.5),
        ("np.bool_(True)", 1.0),
        ("np.array(0.5)", 0.5),
        ("1 + 1e-12", 1.0),
        ("-1e-12", 0.0),
    ],
)
def test_rewards_that_are_numbers(bench: Bench, value: str, reward: float) -> None:
    source = gym(f"import fractions, numpy as np; return '', {value}, True, False, {{}}")
    assert bench.with_numpy().one(source).reward == reward


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("'1'", "The reward of step() is '1'"),
        ("None", "The reward of step() is None"),
        ("float('nan')", "is nan"),
        ("float('inf')", "is inf"),
        ("10**400", "is 1000"),
        ("[1.0]", r"is [1.0]"),
        ("1.5", "The reward 1.5 is outside the range 0 to 1"),
        ("-0.5", "The reward -0.5 is outside the range 0 to 1"),
    ],
)
def test_rewards_that_are_none(bench: Bench, value: str, words: str) -> None:
    result = bench.one(gym(f"return '', {value}, True, False, {{}}"))
    assert (result.reward, result.error_kind) == (None, "environment")
    assert words in result.error_text


def test_the_declared_reward_range_counts(bench: Bench) -> None:
    source = gym("return '', -3, True, False, {}")
    assert bench.one(source, reward_range=(-5.0, 5.0)).reward == -3.0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (gym(reset="return 'o'"), "reset() returned 'o'"),
        (gym("return 'o', 1.0, True, {}"), "step() returned ('o', 1.0, True, {})"),
        (gym(reset="return [{'role': 'boss', 'content': ''}], {}"), "'boss'"),
        (gym(reset="return [{'role': 'user', 'content': 1}], {}"), "content that is text"),
        (gym(reset="return 'x' * (2**20 + 1), {}"), "1048577 characters"),
    ],
)
def test_what_a_format_does_not_allow(bench: Bench, source: str, words: str) -> None:
    result = bench.one(source)
    assert (result.reward, result.error_kind) == (None, "environment")
    assert words in result.error_text


@pytest.mark.parametrize(
    ("source", "changes", "words"),
    [
        ("make = 5", {}, "neither an environment nor a function"),
        ("make = dict", {}, "is of no known format: reasoning-gym needs"),
        ("make = dict", {"format": "dataset"}, "dataset needs __getitem__"),
        ("make = dict", {"format": "atari"}, 'Unknown format "atari". This hub drives: reas'),
        ("", {}, "cannot be found"),
        ("", {"entry": "nowhere:make"}, "There is no module"),
        ("", {"entry": "env"}, 'not of the form "package.module:name"'),
        (SUMS, {"entry": "env:ready", "args": {"a": 1}}, "takes no args"),
        (SUMS, {"args": {"size": 0}}, "empty"),
        (SUMS, {"args": {"colour": 0}}, "TypeError: make() got an unexpected keyword"),
        (GUESS + "\nGuess.num_tasks = True", {}, "num_tasks is True"),
        ("import nothing_such", {}, "ModuleNotFoundError: No module named 'nothing_such'"),
        ("def make(:", {}, "SyntaxError"),
        ("1 / 0", {}, "ZeroDivisionError: division by zero\n  env.py, line 1"),
        ("raise SystemExit('bye')", {}, "SystemExit: bye"),
        ("raise KeyboardInterrupt", {}, "KeyboardInterrupt"),
        ("def make(): exit(3)", {}, "SystemExit: 3"),
    ],
)
def test_what_cannot_be_loaded(
    bench: Bench, source: str, changes: dict[str, Any], words: str
) -> None:
    bench.write(source)
    with pytest.raises(EnvironmentFault) as caught, bench.session(**changes):
        pass
    assert words in str(caught.value)


def test_the_end_of_an_iterator_is_told_as_it_was_raised(bench: Bench) -> None:
    result = bench.one(gym("return next(iter(()))"))
    assert result.error_text.splitlines() == [
        "StopIteration",
        "  env.py, line 7, in step: return next(iter(()))",
    ]


def test_an_error_that_came_of_one_keeps_its_own_words(bench: Bench) -> None:
    for error in ("ValueError('no more')", "RuntimeError('no more')"):
        result = bench.one(gym(f"raise {error} from StopIteration()"))
        assert result.error_text.startswith(f"{error.partition('(')[0]}: no more\n")


@pytest.mark.parametrize(
    "run",
    [
        "asyncio.run(asyncio.sleep(0.01, 1.0))",
        "asyncio.new_event_loop().run_until_complete(asyncio.sleep(0.01, 1.0))",
        "asyncio.run(asyncio.to_thread(float, '1'))",
    ],
)
def test_a_step_may_run_a_loop_of_its_own(bench: Bench, run: str) -> None:
    result = bench.one(gym(f"import asyncio; return '', {run}, True, False, {{}}"))
    assert (result.reward, result.error_text) == (1.0, "")


def test_errors_show_contributed_lines_only(bench: Bench) -> None:
    source = gym("import json; return json.loads('{')")
    result = bench.one(source)
    lines = result.error_text.splitlines()
    assert lines[0].startswith("JSONDecodeError: ")
    assert lines[1:] == ["  env.py, line 7, in step: import json; return json.loads('{')"]


@pytest.mark.parametrize(
    "step",
    [
        "raise SystemExit",
        "raise KeyboardInterrupt",
        "exit()",
        "raise BaseException('b')",
        "return self.step(text)",
        "raise MemoryError",
        "import _thread; _thread.exit()",
    ],
)
def test_an_environment_that_raises_goes_on_with_others(bench: Bench, step: str) -> None:
    bench.write(gym(f"if text == 'bad': {step}\n        return '', 1.0, True, False, {{}}"))
    chat = Chat(lambda messages, seed: "bad" if len(chat.asked) == 1 else "good")
    results = bench.run(chat, [Request(task, 0, 0) for task in range(3)], concurrency=1)
    assert [result.error_kind for result in results] == ["environment", None, None]
    assert [result.reward for result in results] == [None, 1.0, 1.0]


def test_a_message_that_raises_is_survived(bench: Bench) -> None:
    source = "class Odd(Exception):\n    def __str__(self): raise ValueError\n"
    result = bench.one(source + gym("raise Odd"))
    assert result.error_text.startswith("Odd: <its message raised ValueError>")


def test_a_long_error_is_cut(bench: Bench) -> None:
    result = bench.one(gym("raise ValueError('x' * 10**6)"))
    assert result.error_text.startswith("ValueError: xxx")
    assert len(result.error_text) <= 4000


def test_prompts_too_large_for_a_frame_are_that_rollouts_error(bench: Bench) -> None:
    large = "[{'role': 'user', 'content': 'x' * 2**20}] * 9"
    result = bench.one(gym(reset=f"return {large}, {{}}"))
    assert result.error_kind == "environment"
    assert "over the limit of 8388608" in result.error_text
    bench.write(gym(reset=f"return {large}, {{}}"))
    with bench.session() as session:
        preview = session.peek([0])[0]
    assert "over the limit of 8388608" in str(preview.error)


def test_nul_and_lone_surrogates_are_replaced(bench: Bench) -> None:
    source = gym(
        "assert text == 'a\\ufffdb', text; return '', 1.0, True, False, {'metrics': {'m\\0': 1}}",
        "return 'x\\0y\\ud800z\\U0001f600', {}",
    )
    result = bench.one(source, reply="a\ud800b")
    assert result.error_text == ""
    assert [one["content"] for one in result.messages] == ["x\ufffdy\ufffdz\U0001f600", "a\ufffdb"]
    assert result.metrics == {"m\ufffd": 1.0}
    json.dumps(result.messages, ensure_ascii=False).encode("utf-8")


def test_a_standard_module_is_not_shadowed(bench: Bench) -> None:
    bench.write("raise RuntimeError('shadowed')", "json.py")
    assert bench.one(gym("import json; return '', json.loads('1'), True, False, {}")).reward == 1.0


def test_usage_that_is_not_counted_is_none(bench: Bench) -> None:
    bench.write(gym())
    said = completion("x", "length")
    said["usage"] = None
    result = bench.run(Chat(lambda *_: said), [Request(0, 0, 0)])[0]
    assert (result.tokens_in, result.tokens_out, result.truncated) == (None, None, True)
