"""Errors a person can act on. Every domain raises them; pages and the API show them."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (a field, a file, empty for the whole) and what to do."""

    where: str
    message: str
    code: str = ""


@dataclass
class Refused(Exception):
    """The request cannot be carried out; nothing was changed.

    `retry_after`: the seconds after which it can, if time alone helps.
    """

    title: str
    problems: list[Problem] = field(default_factory=list)
    status: int = 422
    retry_after: int | None = None

    def __str__(self) -> str:
        return "; ".join([self.title, *(f"{p.where}: {p.message}" for p in self.problems)])
