"""Polynomials in one variable read from free text, without evaluating any of it."""

import ast
import re
from collections.abc import Callable
from operator import add, mul, sub
from typing import Final

from sympy import Poly, Rational, Symbol

_LONGEST: Final = 80
_TAIL: Final = 400
_HIGHEST_POWER: Final = 9
_LARGEST: Final = 10**9

# What typesets a formula without changing it.
_DECORATION: Final = re.compile(r"[$`]|\\[()\[\]]")
_BRACES: Final = str.maketrans("{}·", "()*")

_OPERATIONS: Final[dict[type[ast.operator], Callable[[Poly, Poly], Poly]]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
}


class Unreadable(ValueError):
    """The text holds no polynomial that can be read."""


def formula_in(text: str, name: str) -> str:
    """What `text` gives as its answer: the last formula in `name` with a digit, else the last.

    Its last `_TAIL` characters are looked at. Raises Unreadable if there is no formula.
    """
    plain = _DECORATION.sub("", text[-_TAIL:]).translate(_BRACES)
    token = rf"(?:\d+(?:\.\d+)?|{name}(?!\w)|[-+*/^()])"
    found = re.findall(rf"(?<![^\W\d])(?:{token}\s*)+", plain.replace(f"d{name}", " "))
    formulas = [formula for formula in found if re.search(rf"[\d{name}]", formula)]
    if not formulas:
        raise Unreadable("There is no formula in the text.")
    with_digits = [formula for formula in formulas if re.search(r"\d", formula)]
    return _bare((with_digits or formulas)[-1])


def read(formula: str, name: str) -> Poly:
    """The polynomial in `name` that `formula` writes; Unreadable if it is not a small one."""
    python = re.sub(rf"(?<=[\d)])\s*(?=[{name}(])", "*", formula.replace("^", "**"))
    if len(python) > _LONGEST:
        raise Unreadable(f"More than {_LONGEST} characters.")
    try:
        return _value(ast.parse(python, mode="eval").body, Symbol(name))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"{formula!r} is not a polynomial.") from error


def _bare(formula: str) -> str:
    """The formula without emphasis, or a bracket of the sentence around it."""
    formula = formula.strip("* ")
    opened = formula.count("(") - formula.count(")")
    if opened > 0:
        return formula.removeprefix("(").strip()
    return formula.removesuffix(")").strip() if opened < 0 else formula


def _value(node: ast.expr, x: Symbol) -> Poly:
    match node:
        case ast.Name(id=x.name):
            return Poly(x, x)
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(Poly(Rational(str(number)), x))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, x)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as power)):
            return _power(_value(left, x), power)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _quotient(_value(left, x), _value(right, x))
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATIONS:
            return _bounded(_OPERATIONS[type(operation)](_value(left, x), _value(right, x)))
    raise Unreadable("Only sums, products, quotients by numbers and whole powers are read.")


def _power(base: Poly, power: int) -> Poly:
    if not 0 <= power <= _HIGHEST_POWER:
        raise Unreadable(f"Powers go from 0 to {_HIGHEST_POWER}.")
    return _bounded(base**power)


def _quotient(left: Poly, right: Poly) -> Poly:
    if right.degree() > 0 or right.is_zero:
        raise Unreadable("Only quotients by numbers other than 0 are read.")
    return _bounded(left * (1 / right.LC()))


def _bounded(polynomial: Poly) -> Poly:
    """`polynomial` if it is small, so that no answer takes long to read."""
    too_large = any(
        abs(factor.p) > _LARGEST or factor.q > _LARGEST for factor in polynomial.all_coeffs()
    )
    if too_large or polynomial.degree() > _HIGHEST_POWER**2:
        raise Unreadable("Too large a number or power.")
    return polynomial
