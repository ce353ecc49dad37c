"""Like terms to collect and short polynomials to differentiate, graded by computer algebra.

An answer is data: it is read by `algebra_drill.reading`, which knows sums, products and small
powers only, and never by sympy's own parser, which evaluates Python.
"""

import random
from typing import Any

from sympy import Poly, Symbol

from algebra_drill.reading import Unreadable, formula_in, read

TASKS = 1_000_000

SUMS = (
    "{f}",
    "Simplify {f}.",
    "Collect like terms in {f}.",
    "Write {f} with fewer terms.",
    "A shorter form of {f}?",
    "Add up {f}.",
)
DERIVATIVES = (
    "Derivative of {f}?",
    "Differentiate {f}.",
    "d/d{x} of {f}?",
    "Slope of the curve {f} at {x}?",
    "A car has gone {f} metres after {x} seconds. What is its speed?",
    "Rate of change of {f}?",
)


class AlgebraDrill:
    """`TASKS` drills, every third a derivative; drill i depends on i alone."""

    system_prompt = "Answer with the result only.\nQ: 2a + 6a\nA: 8a"

    def __len__(self) -> int:
        return TASKS

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Task `index` as `{"question", "answer", "metadata"}`; IndexError outside 0..TASKS-1."""
        if not 0 <= index < TASKS:
            raise IndexError(f"There are tasks 0 to {TASKS - 1}, not {index}.")
        rng = random.Random(index)
        x = Symbol(rng.choice("xtz"))
        given, wanted = _derivative(rng, x) if index % 3 == 2 else _sum(rng, x)
        wording = rng.choice(DERIVATIVES if index % 3 == 2 else SUMS)
        return {
            "question": f"Q: {wording.format(f=given, x=x)}\nA:",
            "answer": _written(wanted),
            "metadata": {"variable": x.name, "given": given},
        }

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        """1 for an equal polynomial, else half the share of its terms that are right.

        0 if it is written with more signs than the right answer, which thus has to be tidy.
        """
        name = entry["metadata"]["variable"]
        try:
            formula = formula_in(answer.split("\nQ:", maxsplit=1)[0], name)
            given, wanted = read(formula, name), read(entry["answer"], name)
        except Unreadable:
            return 0.0
        if _signs(formula) > _signs(entry["answer"]):
            return 0.0
        terms, right = _terms(given), _terms(wanted)
        return 1.0 if terms == right else 0.5 * len(terms.items() & right.items()) / len(right)


def make() -> AlgebraDrill:
    """The environment."""
    return AlgebraDrill()


def _sum(rng: random.Random, x: Symbol) -> tuple[str, Poly]:
    """A sum of two multiples of x, and perhaps a number: as written, and its value."""
    first, second = rng.randint(1, 6), rng.randint(1, 6)
    number = rng.choice((0, 0, rng.randint(1, 9)))
    terms = [_term(first, 1, x.name), *([str(number)] if number else []), _term(second, 1, x.name)]
    return " + ".join(terms), Poly((first + second) * x + number, x)


def _derivative(rng: random.Random, x: Symbol) -> tuple[str, Poly]:
    """A polynomial of one or two terms, as written, and its derivative."""
    powers = rng.sample((1, 2, 3, 4), rng.choice((1, 1, 2)))
    polynomial = Poly(sum(rng.choice((1, 2, 3, 5)) * x**power for power in powers), x)
    return _written(polynomial), polynomial.diff(x)


def _signs(formula: str) -> int:
    return formula.count("+") + formula.count("-")


def _terms(polynomial: Poly) -> dict[int, Any]:
    """The coefficients other than 0 by their power."""
    return {power: factor for (power,), factor in polynomial.terms() if factor != 0}


def _written(polynomial: Poly) -> str:
    """As people write it: 3x^2 + x + 4."""
    return " + ".join(
        _term(int(factor), power, str(polynomial.gen))
        for power, factor in sorted(_terms(polynomial).items(), reverse=True)
    )


def _term(factor: int, power: int, name: str) -> str:
    if power == 0:
        return str(factor)
    shown = name if power == 1 else f"{name}^{power}"
    return shown if factor == 1 else f"{factor}{shown}"
