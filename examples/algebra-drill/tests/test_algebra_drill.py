import time

import algebra_drill
import pytest
from algebra_drill.reading import Unreadable, formula_in, read
from sympy import Poly, Symbol

ENVIRONMENT = algebra_drill.make()
X = Symbol("x")
SLOPE = {"answer": "6x + 2", "metadata": {"variable": "x"}}
SUM = {"answer": "5x", "metadata": {"variable": "x"}}


def polynomial_in(text, name):
    return read(formula_in(text, name), name)


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("6x + 2", 1.0),
        ("A: 2*(3x + 1)", 1.0),
        ("The derivative is 6x + 2.", 1.0),
        ("f'(x) = $2 + 6x$", 1.0),
        ("12x/2 + 2", 1.0),
        ("6x + 2\nQ: 3x + x", 1.0),
        ("6x", 0.25),
        ("6x + 5", 0.25),
        ("6x + 2 + x^2", 0.0),
        ("3x^2 + 2x", 0.0),
        ("no idea", 0.0),
        ("", 0.0),
    ],
)
def test_reward_of_a_derivative(answer, reward):
    assert ENVIRONMENT.score_answer(answer, SLOPE) == reward


@pytest.mark.parametrize(
    ("answer", "reward"),
    [("5x", 1), ("2x + 3x = 5x", 1), ("2x + 3x", 0), ("x*(2 + 3)", 0), ("6x", 0), ("5", 0)],
)
def test_a_sum_has_to_be_tidied(answer, reward):
    assert ENVIRONMENT.score_answer(answer, SUM) == reward


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "9**9**9**9",
        "((((x+9)^9)^9)^9)^9",
        "10^9^9",
        "99999999999 x",
        "x/0",
        "x/x",
        "y",
        "True",
        "3 4",
        "2x +",
        "(" * 70,
        "-" * 79 + "x" * 9,
        "\0",
    ],
)
def test_what_is_no_small_polynomial_is_refused_quickly(text):
    begun = time.monotonic()
    with pytest.raises(Unreadable):
        polynomial_in(text, "x")
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("text", ["x.__class__", "[x for _ in (x,)]", "lambda: x", "exec(x)"])
def test_python_around_a_formula_is_text(text):
    assert polynomial_in(text, "x") == Poly(X, X)


@pytest.mark.parametrize(
    "text",
    [
        "The derivative of x^2 with respect to x is 2x.",
        "x^2 has the slope 2x in terms of x",
        "**2x**",
        "\\(2x\\)",
        "d/dx x^2 = 2x",
        "2·x",
    ],
)
def test_the_last_formula_with_a_number_counts(text):
    assert polynomial_in(text, "x") == Poly(2 * X, X)


def test_reading():
    assert polynomial_in("y = 2(x-1)^{2}/4", "x") == Poly((X - 1) ** 2 / 2, X)


def test_drills_are_what_they_say():
    for index in range(60):
        entry = ENVIRONMENT[index]
        data = entry["metadata"]
        assert data["given"] in entry["question"]
        given, wanted = (read(text, data["variable"]) for text in (data["given"], entry["answer"]))
        assert wanted == (given.diff() if index % 3 == 2 else given)


def test_an_echo_earns_next_to_nothing():
    entries = [ENVIRONMENT[index] for index in range(200)]
    echoes = [entry["question"].split("Q:")[-1] for entry in entries]
    rewards = [ENVIRONMENT.score_answer(*pair) for pair in zip(echoes, entries, strict=True)]
    assert max(rewards) < 1
    assert sum(rewards) / len(rewards) < 0.1
