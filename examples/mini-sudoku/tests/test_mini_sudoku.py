import re

import mini_sudoku
import pytest


def started(seed):
    environment = mini_sudoku.make()
    question, info = environment.reset(seed=seed)
    return environment, question, info["gold"][0]


@pytest.mark.parametrize("seed", range(10))
def test_a_puzzle_has_one_solution_with_every_number_once_in_every_unit(seed):
    environment, question, _ = started(seed)
    for unit in mini_sudoku.UNITS:
        assert sorted(environment._solution[cell] for cell in unit) == [1, 2, 3, 4]
    grid = "".join(question.splitlines()[:4])
    assert [grid.count(gap) for gap in "abcd"] == [1] * 4


def test_a_wrong_entry_can_be_taken_back():
    environment, _, gold = started(3)
    right = dict(pair.split("=") for pair in gold.split(", "))
    wrong = next(number for number in "1234" if number != right["a"])
    reply, first, *_ = environment.step(gold.replace(f"a={right['a']}", f"a={wrong}"))
    assert first == 0.75
    assert f"a={wrong}" in reply
    reply, second, terminated, *_ = environment.step(f"a = {right['a']}")
    assert (reply, first + second, terminated) == ("Solved!", 1.0, True)


def test_a_bare_number_goes_into_the_gap_that_was_asked_for():
    environment, question, gold = started(2)
    assert re.search(r"\ba\W", question.splitlines()[-1])
    numbers = [pair[-1] for pair in gold.split(", ")]
    rewards = [environment.step(f"It is {number}.")[1] for number in numbers]
    assert rewards == [0.25] * 4


def test_undoing_what_was_right_costs_its_reward():
    environment, _, gold = started(4)
    entry, number = gold.split(", ")[1], int(gold.split(", ")[1][-1])
    rewards = [environment.step(text)[1] for text in (entry, f"b={number % 4 + 1}")]
    assert rewards == [0.25, -0.25]


def test_of_several_numbers_for_one_gap_the_last_counts():
    environment, *_ = started(5)
    rewards = sum(
        environment.step(", ".join(f"{gap}={n}" for n in (1, 2, 3, 4)))[1] for gap in "abcd"
    )
    assert rewards <= 0.5


def test_idle_replies_use_up_the_turns():
    environment, *_ = started(6)
    ends = [environment.step("I wonder.")[1:4] for _ in range(mini_sudoku.TURNS)]
    assert ends == [(0, False, False)] * 3 + [(0, False, True)]
