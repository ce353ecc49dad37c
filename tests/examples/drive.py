"""Play tasks of one example with fixed policies and print what they earned, as JSON.

Run by test_examples.py in a process of its own: `drive.py ENTRY FORMAT ARGS TASKS`. The rewards
are lists by policy, one number a task; "prompts" are what a model would have read first.
"""

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

# What a policy replies: to the prompt, the gold replies and another task's gold replies.
Policy = Callable[[str, list[str], list[str]], list[str]]

POLICIES: dict[str, Policy] = {
    "gold": lambda prompt, gold, other: gold,
    "empty": lambda prompt, gold, other: [""],
    "blank": lambda prompt, gold, other: [" \n\t"],
    "42": lambda prompt, gold, other: ["42"],
    "1": lambda prompt, gold, other: ["1"],
    "yes": lambda prompt, gold, other: ["Yes"],
    "A": lambda prompt, gold, other: ["A"],
    "right": lambda prompt, gold, other: ["right"],
    "letters": lambda prompt, gold, other: ["A, B, C, D"],
    "digits": lambda prompt, gold, other: ["1 2 3 4 5 6 7 8 9"],
    "gaps": lambda prompt, gold, other: ["a=1, b=2, c=3, d=4"],
    "echo": lambda prompt, gold, other: [prompt],
    "refusal": lambda prompt, gold, other: ["I am sorry, but I cannot help with that."],
    "filler": lambda prompt, gold, other: ["the quick brown fox " * 400],
    "another task's gold": lambda prompt, gold, other: other,
}


def dataset(make: Callable[[], Any], task: int, policy: Policy) -> float:
    """The reward of a single-turn task."""
    environment = make()
    entry, other = environment[task], environment[task + 1]
    gold, wrong = [str(entry["answer"])], [str(other["answer"])]
    (reply,) = policy(entry["question"], gold, wrong)
    return float(environment.score_answer(reply, entry))


def episode(make: Callable[[], Any], task: int, policy: Policy) -> float:
    """The sum of the rewards of an episode; the policy's last reply is repeated to its end."""
    environment = make()
    _, other = make().reset(seed=task + 1)
    prompt, info = environment.reset(seed=task)
    replies = policy(prompt, info["gold"], other["gold"])
    total, turn, ended = 0.0, 0, False
    while not ended:
        reply = replies[min(turn, len(replies) - 1)]
        _, reward, terminated, truncated, _ = environment.step(reply)
        total += reward
        turn += 1
        ended = terminated or truncated
    return total


def main(entry: str, kind: str, args: str, tasks: str) -> None:
    """Print `{"prompts": [...], "rewards": {policy: [...]}}` for tasks 0 to TASKS - 1."""
    module, _, name = entry.partition(":")
    function = getattr(importlib.import_module(module), name)
    given = json.loads(args)

    def make() -> Any:
        return function(**given)

    play = dataset if kind == "dataset" else episode
    indices = range(int(tasks))
    rewards = {
        name: [play(make, task, policy) for task in indices] for name, policy in POLICIES.items()
    }
    prompts = [
        make()[task]["question"] if kind == "dataset" else make().reset(seed=task)[0]
        for task in indices
    ]
    json.dump({"prompts": prompts, "rewards": rewards}, sys.stdout)


main(*sys.argv[1:])
