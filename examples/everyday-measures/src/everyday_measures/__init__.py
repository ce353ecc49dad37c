"""Sixty questions from daily life whose answer is a measure in another unit."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from pint import UnitRegistry

# An answer this close, relatively, is right; a rough one earns half.
CLOSE, ROUGH = 0.03, 0.25
_NUMBER = re.compile(r"(?<![\d.])-?\d+(?:,\d{3})*(?:\.\d+)?")


class EverydayMeasures:
    """The questions of `questions.json`, in its order."""

    system_prompt = "Q: How many days are in 3 weeks?\nA: 21"

    def __init__(self) -> None:
        listed = files(__package__).joinpath("questions.json").read_text(encoding="utf-8")
        self._items: list[dict[str, Any]] = json.loads(listed)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Task `index` as `{"question", "answer", "metadata"}`; IndexError past the last."""
        item = self._items[index]
        wanted = _units().Quantity(item["amount"], item["unit"]).to(item["asked"])
        return {
            "question": f"Q: {item['question']}\nA:",
            "answer": f"{wanted.magnitude:.6g}",
            "metadata": {"unit": item["asked"]},
        }

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        """1 if the answer's last number is within 3 % of the right one, 0.5 within 25 %, else 0."""
        numbers = _NUMBER.findall(answer.split("\nQ:", maxsplit=1)[0])
        if not numbers:
            return 0.0
        wanted = float(entry["answer"])
        error = abs(float(numbers[-1].replace(",", "")) - wanted) / abs(wanted)
        if error <= CLOSE:
            return 1.0
        return 0.5 if error <= ROUGH else 0.0


def make() -> EverydayMeasures:
    """The environment."""
    return EverydayMeasures()


@cache
def _units() -> UnitRegistry:
    return UnitRegistry()
