"""Find the shelf that a jar stands on, by asking."""

import random
import re

import verifiers as vf
from datasets import Dataset

SHELVES = 30
SYSTEM = (
    f"The pantry has shelves 1 to {SHELVES}, bottom to top. Say the number of the shelf where you "
    "look for the jar, and nothing else. You are told whether it stands higher or lower."
)
JARS = ["plum jam", "pickled beets", "honey", "mustard", "dried mint"]
SIGHS = ["Not here.", "Only dust.", "Wrong shelf.", "Someone else's jar."]


class Shelf(vf.MultiTurnEnv):
    async def setup_state(self, state: vf.State) -> vf.State:
        state["looked"] = 0
        state["found"] = False
        return state

    @vf.stop
    async def is_found(self, state: vf.State) -> bool:
        return state["found"]

    async def env_response(self, messages: vf.Messages, state: vf.State, **_) -> vf.Messages:
        said = re.search(r"\d+", messages[-1].content or "")
        state["looked"] += 1
        if said is None:
            return [{"role": "user", "content": f"Say a number from 1 to {SHELVES}."}]
        shelf, stands = int(said.group()), int(state["answer"])
        state["found"] = shelf == stands
        if state["found"]:
            state["final_env_response"] = [{"role": "user", "content": "There it is."}]
            return state["final_env_response"]
        where = "higher" if shelf < stands else "lower"
        return [{"role": "user", "content": f"{random.choice(SIGHS)} It stands {where}."}]


def is_found(state) -> float:
    """1 at the first look, a tenth less for each one more."""
    return max(0.0, 1.1 - 0.1 * state["looked"]) if state["found"] else 0.0


def looks(state) -> int:
    return state["looked"]


def load_shelf(size: int, seed: int) -> vf.Environment:
    draw = random.Random(seed)
    rows = [
        {
            "question": f"Where is the {draw.choice(JARS)}?",
            "answer": str(draw.randint(1, SHELVES)),
        }
        for _ in range(size)
    ]
    rubric = vf.Rubric(funcs=[is_found, looks], weights=[1.0, 0.0])
    return Shelf(dataset=Dataset.from_list(rows), system_prompt=SYSTEM, rubric=rubric, max_turns=-1)
