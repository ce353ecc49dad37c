from collections import Counter

import pytest
import spot_the_slip

ENVIRONMENT = spot_the_slip.make()


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("3", 1.0),
        ("Line 3 is wrong.", 1.0),
        ("There are 4 lines; line 3 is wrong.", 1.0),
        ("2", 0.0),
        ("1, 2, 3, 4", 0.0),
        ("13", 0.0),
        ("", 0.0),
    ],
)
def test_reward(answer, reward):
    assert ENVIRONMENT.score_answer(answer, {"answer": "3"}) == reward


def test_the_named_sum_and_no_other_is_wrong():
    for index in range(0, 360, len(spot_the_slip.KINDS)):
        entry = ENVIRONMENT[index]
        for line in entry["question"].splitlines()[1:]:
            number, rest = line.split(". ")
            left, total = rest.split(" = ")
            right = sum(map(int, left.split(" + "))) == int(total)
            assert right == (number != entry["answer"])


def test_no_line_is_wrong_much_more_often_than_another():
    counts = Counter(ENVIRONMENT[index]["answer"] for index in range(1000))
    assert set(counts) == set("1234")
    assert max(counts.values()) < 300
