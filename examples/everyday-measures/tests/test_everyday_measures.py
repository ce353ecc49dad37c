from collections import Counter

import everyday_measures
import pytest

ENVIRONMENT = everyday_measures.make()
ENTRIES = [ENVIRONMENT[index] for index in range(len(ENVIRONMENT))]
# Worked out by hand, not by the library that the environment uses.
KNOWN = {
    "A film lasts 3 hours. How many minutes is that?": 180,
    "An inch is how many centimetres?": 2.54,
    "Water boils at 100 degrees Celsius. What is that in Fahrenheit?": 212,
    "A warm room has 68 degrees Fahrenheit. What is that in Celsius?": 20,
    "A bucket takes 3 gallons. How many quarts is that?": 12,
    "A cyclist rides at 18 kilometres per hour. How many metres per second is that?": 5,
    "A wheel makes 3 full turns. How many degrees is that?": 1080,
    "A cubic metre of water is how many litres?": 1000,
    "A horse is 15 hands high. How many inches is that?": 60,
}


@pytest.mark.parametrize("question", KNOWN)
def test_known_answers(question):
    (entry,) = [entry for entry in ENTRIES if question in entry["question"]]
    assert float(entry["answer"]) == pytest.approx(KNOWN[question], rel=1e-3)


def test_sixty_different_questions():
    assert len({entry["question"] for entry in ENTRIES}) == len(ENVIRONMENT) == 60
    with pytest.raises(IndexError):
        ENVIRONMENT[60]


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("1,000", 1.0),
        ("It is about 990 litres.", 1.0),
        ("1 cubic metre = 1000", 1.0),
        ("1200", 0.5),
        ("100", 0.0),
        ("", 0.0),
    ],
)
def test_reward(answer, reward):
    assert ENVIRONMENT.score_answer(answer, {"answer": "1000"}) == reward


def test_no_number_is_the_answer_to_many_questions():
    (_, often), *_ = Counter(entry["answer"] for entry in ENTRIES).most_common(1)
    assert often <= 6
