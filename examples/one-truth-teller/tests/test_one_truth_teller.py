from collections import Counter

import one_truth_teller
import pytest

ENVIRONMENT = one_truth_teller.make()
ENTRY = {"answer": "Bob", "metadata": {"names": ["Ann", "Bob", "Cleo"]}}


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("Bob", 1.0),
        ("Ann cannot be honest, so it is Bob.", 1.0),
        ("Ann", 0.0),
        ("Ann, Bob, Cleo", 0.0),
        ("Bobby", 0.0),
        ("", 0.0),
    ],
)
def test_reward(answer, reward):
    assert ENVIRONMENT.score_answer(answer, ENTRY) == reward


def test_a_riddle_worked_out_by_hand():
    lies, same = "{b} lies.", "{b} and {c} are the same kind."
    said = [(lies, 1, 2), (lies, 0, 2), (same, 0, 1)]
    # Of the first two, who accuse each other, one is honest; so the third, who calls them the
    # same, lies.
    assert one_truth_teller._fits((True, False, False), said)
    assert one_truth_teller._fits((False, True, False), said)
    assert not one_truth_teller._fits((False, False, True), said)


def test_every_place_is_the_answer_about_as_often():
    places = Counter()
    for index in range(600):
        entry = ENVIRONMENT[index]
        places[entry["metadata"]["names"].index(entry["answer"])] += 1
    assert len(places) == 3
    assert max(places.values()) < 250
