"""Every example: its metadata, its own tests, and what fixed policies earn in it.

An example runs in processes of its own, with its dependencies from one folder that uv fills with
wheels once a session, so none of them has to be installed beside the hub.
"""

import json
import math
import os
import subprocess
import sys
import tomllib
from itertools import combinations
from pathlib import Path
from statistics import mean

import pytest
import uv
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))
DRIVER = Path(__file__).with_name("drive.py")
TASKS = 32
DECLARED = {
    *("entry", "format", "args", "pass_threshold", "reward_range", "max_turns"),
    *("tags", "domains", "strategies", "min_memory_mb"),
}


def described(name):
    return tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """A folder with the wheels of all examples' dependencies."""
    folder = tmp_path_factory.mktemp("libraries")
    wanted = sorted({line for name in NAMES for line in described(name)["project"]["dependencies"]})
    done = subprocess.run(
        [
            *(uv.find_uv_bin(), "pip", "install", "--quiet", "--only-binary", ":all:"),
            *("--python", sys.executable, "--target", folder, *wanted),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def run(libraries):
    def run(name, *arguments, hash_seed="random"):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=EXAMPLES / name,
            env={
                "PATH": os.defpath,
                "PYTHONPATH": f"{EXAMPLES / name / 'src'}:{libraries}",
                "PYTHONHASHSEED": hash_seed,
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def drive(run, name, **options):
    told = described(name)["tool"]["practicum"]
    args = json.dumps(told.get("args", {}))
    return json.loads(
        run(name, str(DRIVER), told["entry"], told["format"], args, str(TASKS), **options)
    )


@pytest.fixture(scope="session")
def played(run):
    """What `drive` printed for an example; it is played once."""
    known = {}

    def played(name):
        if name not in known:
            known[name] = drive(run, name, hash_seed="1")
        return known[name]

    return played


def test_there_are_ten_of_different_kinds():
    told = [described(name)["tool"]["practicum"] for name in NAMES]
    assert len(NAMES) == 10
    assert {each["format"] for each in told} == {"dataset", "gymnasium"}
    strategies = {strategy for each in told for strategy in each["strategies"]}
    assert {"verification", "backtracking", "subgoal-setting", "backward-chaining"} <= strategies
    assert sum(bool(described(name)["project"]["dependencies"]) for name in NAMES) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_metadata(name):
    read = described(name)
    project, told = read["project"], read["tool"]["practicum"]
    assert project["name"] == name
    assert project["license"] == "Apache-2.0"
    assert project["authors"] == [{"name": "Practicum"}]
    assert Version(project["version"])
    assert "3.11" in SpecifierSet(project["requires-python"])
    assert all(Requirement(line).specifier for line in project["dependencies"])
    assert set(told) <= DECLARED
    module = told["entry"].partition(":")[0]
    assert (EXAMPLES / name / "src" / module / "__init__.py").is_file()
    assert told["strategies"]
    assert told["domains"]
    assert told["max_turns"] >= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_tells_what_a_reader_needs(name):
    text = (EXAMPLES / name / "README.md").read_text()
    for heading in ("## A task", "## Reward", "## What it elicits", "## Limits"):
        assert f"\n{heading}\n" in text
    assert f"({name}/)" in (EXAMPLES / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_its_own_tests(run, name):
    assert " passed" in run(name, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.parametrize("name", NAMES)
def test_gold_earns_everything(played, name):
    assert set(played(name)["rewards"]["gold"]) == {1.0}


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_earns_nothing(played, name):
    rewards = played(name)["rewards"]
    assert set(rewards["empty"] + rewards["blank"] + rewards["refusal"]) == {0.0}


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_blind_to_the_task_earns_less_than_half(played, name):
    rewards = dict(played(name)["rewards"])
    del rewards["gold"]
    assert {policy: mean(each) for policy, each in rewards.items() if mean(each) >= 0.5} == {}


@pytest.mark.parametrize("name", NAMES)
def test_rewards_stay_in_the_declared_range(played, name):
    low, high = described(name)["tool"]["practicum"]["reward_range"]
    earned = [reward for each in played(name)["rewards"].values() for reward in each]
    assert all(math.isfinite(reward) and low <= reward <= high for reward in earned)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_the_same_in_every_process(run, played, name):
    assert drive(run, name, hash_seed="2") == played(name)


@pytest.mark.parametrize("name", NAMES)
def test_prompts_are_short_and_differ(played, name):
    prompts = played(name)["prompts"]
    assert len(set(prompts)) == len(prompts)
    assert max(len(prompt.split()) for prompt in prompts) <= 60
    alike = {
        index
        for pair in combinations(range(len(prompts)), 2)
        if _jaccard(*(_grams(prompts[index]) for index in pair)) >= 0.7
        for index in pair
    }
    assert len(alike) <= 0.25 * len(prompts)


def _grams(text):
    words = text.lower().split()
    return {tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2))}


def _jaccard(left, right):
    return len(left & right) / len(left | right)
