import pytest
import tiny_briefs

ENVIRONMENT = tiny_briefs.make()
BRIEF = tiny_briefs.Brief("a dog", "ball", "My", "an exclamation mark", 0, 6)


def test_a_brief_tells_all_its_rules():
    assert BRIEF.question() == (
        'Write one sentence about a dog: use the word "ball", begin with "My", '
        "end with an exclamation mark, at most 6 words."
    )


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("My dog has a ball!", [True, True, True, True]),
        ("The dog has a ball!", [True, False, True, True]),
        ("My dog has a ball.", [True, True, False, True]),
        ("My dog has a very old ball!", [True, True, True, False]),
        ("My dog has balls!", [False, True, True, True]),
    ],
)
def test_rules(sentence, kept):
    assert BRIEF.kept(sentence, sentence.rstrip(".!").split()) == kept


def test_without_the_word_nothing_is_earned():
    entry = ENVIRONMENT[3]
    assert ENVIRONMENT.score_answer(entry["answer"], entry) == 1
    without = entry["answer"].replace(tiny_briefs._brief(3).word, "thing")
    assert ENVIRONMENT.score_answer(without, entry) == 0


def test_a_copy_of_the_brief_and_a_flood_of_words_earn_nothing():
    for index in range(50):
        entry = ENVIRONMENT[index]
        assert ENVIRONMENT.score_answer(entry["question"], entry) == 0
        words = " ".join(word for group in tiny_briefs.TOPICS.values() for word in group)
        assert ENVIRONMENT.score_answer(words, entry) == 0
