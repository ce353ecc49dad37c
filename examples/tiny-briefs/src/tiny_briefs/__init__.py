"""Briefs for one sentence, each rule of which a program can check."""

import random
import re
from dataclasses import dataclass
from typing import Any

TASKS = 1_000_000
_WORD = re.compile(r"[A-Za-z']+")
# So many words in a row that also stand in the brief are a copy of it.
_COPIED = 6
_LONGEST = 40

TOPICS = {
    "a river": ("water", "fish", "bridge"),
    "a market": ("apples", "crowd", "stall"),
    "winter": ("snow", "coat", "ice"),
    "a dog": ("ball", "tail", "park"),
    "a train": ("station", "window", "late"),
    "the moon": ("night", "silver", "round"),
    "a school": ("teacher", "bell", "lesson"),
    "the sea": ("waves", "salt", "boat"),
    "breakfast": ("bread", "tea", "egg"),
    "a garden": ("roses", "bees", "gate"),
    "music": ("piano", "song", "loud"),
    "a library": ("books", "quiet", "shelf"),
    "a mountain": ("path", "climb", "cloud"),
    "a birthday": ("cake", "gift", "friends"),
    "a storm": ("wind", "roof", "thunder"),
    "an old house": ("door", "stairs", "dust"),
}
OPENERS = ("The", "A", "My", "In", "When", "Every", "On", "We")


MARKS = {"a full stop": ".", "an exclamation mark": "!", "a question mark": "?"}
# A stock sentence that any brief turns into a right answer.
FILLER = ("is", "what", "we", "like", "to", "see", "here", "each", "day", "of", "our", "life")


@dataclass(frozen=True)
class Brief:
    """What a sentence has to be: a topic, a word to use, an opening or a mark, a length."""

    topic: str
    word: str
    opener: str | None
    mark: str | None
    fewest: int
    most: int

    def question(self) -> str:
        """The brief in words."""
        wishes = [f'use the word "{self.word}"']
        if self.opener:
            wishes.append(f'begin with "{self.opener}"')
        if self.mark:
            wishes.append(f"end with {self.mark}")
        wishes.append(
            f"at most {self.most} words" if self.fewest == 0 else f"at least {self.fewest} words"
        )
        return f"Write one sentence about {self.topic}: {', '.join(wishes)}."

    def answer(self) -> str:
        """A sentence that keeps to the brief."""
        words = [self.opener or "The", self.word, *FILLER]
        return " ".join(words[: max(self.fewest, 5)]) + (MARKS[self.mark] if self.mark else ".")

    def kept(self, sentence: str, words: list[str]) -> list[bool]:
        """Which rules `sentence`, made of `words`, keeps; the demanded word comes first."""
        kept = [self.word in [word.lower() for word in words]]
        if self.opener:
            kept.append(words[0] == self.opener)
        if self.mark:
            kept.append(sentence.endswith(MARKS[self.mark]))
        kept.append(self.fewest <= len(words) <= self.most)
        return kept


class TinyBriefs:
    """`TASKS` briefs; brief i depends on i alone."""

    system_prompt = "Write only the sentence."

    def __len__(self) -> int:
        return TASKS

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Task `index` as `{"question", "answer", "metadata"}`; IndexError outside 0..TASKS-1."""
        if not 0 <= index < TASKS:
            raise IndexError(f"There are tasks 0 to {TASKS - 1}, not {index}.")
        brief = _brief(index)
        return {
            "question": brief.question(),
            "answer": brief.answer(),
            "metadata": {"index": index},
        }

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        """The share of the rules kept.

        0 without the demanded word, for a text longer than `_LONGEST` words, or for a copy of
        the brief.
        """
        brief = _brief(entry["metadata"]["index"])
        words = _WORD.findall(answer)
        if not 3 <= len(words) <= _LONGEST or _copies(words, _WORD.findall(entry["question"])):
            return 0.0
        kept = brief.kept(answer.strip().strip('"*'), words)
        return sum(kept) / len(kept) if kept[0] else 0.0


def make() -> TinyBriefs:
    """The environment."""
    return TinyBriefs()


def _copies(words: list[str], brief: list[str]) -> bool:
    """Whether `_COPIED` words in a row of the answer stand in the brief."""
    runs = {tuple(brief[i : i + _COPIED]) for i in range(len(brief) - _COPIED + 1)}
    return any(tuple(words[i : i + _COPIED]) in runs for i in range(len(words)))


def _brief(index: int) -> Brief:
    rng = random.Random(index)
    topic = list(TOPICS)[index % len(TOPICS)]
    shape = rng.choice(("opener", "mark", "both"))
    short = rng.random() < 0.5
    return Brief(
        topic=topic,
        word=rng.choice(TOPICS[topic]),
        opener=rng.choice(OPENERS) if shape != "mark" else None,
        mark=rng.choice(list(MARKS)) if shape != "opener" else None,
        fewest=0 if short else rng.randint(6, 10),
        most=rng.randint(8, 14) if short else _LONGEST,
    )
