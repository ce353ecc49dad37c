import number_machine
import pytest

ENVIRONMENT = number_machine.make()
TWO_STEPS = {"question": "", "answer": "15", "metadata": {"values": [15, 9, 12]}}


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("15", 1.0),
        ("12 - 3 = 9 and 9 + 6 = 15.", 1.0),
        ("A: 15\nQ: And what about 7?", 1.0),
        ("9", 0.5),
        ("16", 0.25),
        ("12", 0.0),
        ("-15", 0.0),
        ("", 0.0),
        ("I do not know.", 0.0),
    ],
)
def test_reward(answer, reward):
    assert ENVIRONMENT.score_answer(answer, TWO_STEPS) == reward


def test_the_story_leads_from_the_answer_to_its_outcome():
    for index in range(200):
        entry = ENVIRONMENT[index]
        values = entry["metadata"]["values"]
        assert str(values[-1]) in entry["question"]
        assert entry["answer"] == str(values[0])
        assert min(values) > 0


def test_tasks_end():
    with pytest.raises(IndexError, match="not -1"):
        ENVIRONMENT[-1]
