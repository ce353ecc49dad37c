"""Diversity: known Vendi scores, brute force, and near-duplicates by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from graders.metrics import Method, diversity, near_duplicates

README_KERNEL = [[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]]
embeddings = arrays.arrays(
    np.float64, st.tuples(st.integers(3, 12), st.integers(1, 6)), elements=st.floats(0.01, 5)
)


def cosines(vectors) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def brute_kappa(vectors) -> float:
    squares = cosines(vectors) ** 2
    n = len(squares)
    return float((squares.sum() - np.trace(squares)) / (n * (n - 1)))


@pytest.mark.parametrize(
    ("q", "score"), [(0.1, 2.8455), (0.5, 2.4203), (1, 2.1573), (2, 1.9481), (math.inf, 1.5789)]
)
def test_known_vendi_scores(q, score):
    assert diversity.vendi(README_KERNEL, q) == pytest.approx(score, abs=5e-5)


def test_vendi_counts_what_is_unrelated():
    assert diversity.vendi(np.eye(5), 2) == pytest.approx(5)
    assert diversity.vendi(np.ones((5, 5)), 1) == pytest.approx(1)
    assert diversity.vendi(np.eye(5), 0) == pytest.approx(5)


@given(embeddings)
def test_kappa_is_the_mean_over_pairs(vectors):
    assert diversity.kappa(vectors) == pytest.approx(brute_kappa(vectors), abs=1e-9)


@given(embeddings, st.floats(0.1, 10))
def test_kappa_knows_neither_order_nor_scale(vectors, scale):
    assert diversity.kappa(vectors[::-1] * scale) == pytest.approx(diversity.kappa(vectors))


@given(embeddings)
def test_vs2_at_n_is_the_order_two_vendi_score(vectors):
    rarefied = diversity.vs2(diversity.kappa(vectors), at=len(vectors))
    assert rarefied == pytest.approx(diversity.vendi(cosines(vectors), 2), rel=1e-6)


def test_kappa_of_a_sample_is_unbiased():
    population = np.random.default_rng(0).normal(size=(9, 3))
    rng = np.random.default_rng(1)
    draws = [diversity.kappa(population[rng.choice(9, 4, replace=False)]) for _ in range(4000)]
    assert np.mean(draws) == pytest.approx(diversity.kappa(population), abs=0.01)


def test_the_jackknife_is_that_of_leaving_each_out():
    vectors = np.random.default_rng(3).normal(size=(10, 4))
    left_out = [brute_kappa(np.delete(vectors, row, axis=0)) for row in range(10)]
    error = math.sqrt(9 / 10 * np.square(left_out - np.mean(left_out)).sum())
    estimate = diversity.kappa_estimate(vectors)
    assert estimate.method is Method.JACKKNIFE
    assert estimate.high - estimate.value == pytest.approx(2.262157 * error, rel=1e-6)


def test_the_jackknife_covers():
    rng = np.random.default_rng(5)
    centres, weights = rng.normal(size=(8, 16)), rng.dirichlet(np.ones(8))

    def draw(n):
        return centres[rng.choice(8, n, p=weights)] + 0.5 * rng.normal(size=(n, 16))

    truth = diversity.kappa(draw(40_000))
    estimates = [diversity.kappa_estimate(draw(48)) for _ in range(300)]
    assert 0.9 <= np.mean([e.low <= truth <= e.high for e in estimates]) <= 0.99


@given(embeddings)
def test_the_interval_holds_the_value(vectors):
    spread = diversity.kappa_estimate(vectors)
    score = diversity.vs2_estimate(spread)
    assert 0 <= spread.low <= spread.value <= spread.high <= 1
    assert 1 <= score.low <= score.value <= score.high <= 128
    assert score.high == diversity.vs2(spread.low)


def test_vs2_of_extremes():
    same, unrelated = np.ones((20, 5)), np.eye(20)
    assert diversity.vs2(diversity.kappa(same)) == pytest.approx(1)
    assert diversity.vs2(diversity.kappa(unrelated)) == 128


def test_a_report_of_too_few_says_so():
    for count in (0, 1):
        report = diversity.summarise(np.ones((count, 4)), [False] * count)
        assert (report.kappa, report.vs2, report.near_duplicate_rate) == (None, None, None)
        assert f"({count})" in report.reason
    two = diversity.summarise(np.eye(2), [False, False])
    assert (two.vs2.low, two.vs2.high, two.vs2.method) == (1, 128, Method.WHOLE_RANGE)


def test_a_report_is_json():
    report = diversity.summarise(np.eye(3, dtype=np.float32), [True, True, False])
    shown = json.loads(json.dumps(report.to_json()))
    assert shown["vs2"]["value"] == 128
    assert shown["near_duplicate_rate"] == pytest.approx(2 / 3)
    assert shown["prompts"] == shown["kappa"]["tasks"] == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda: diversity.kappa(np.ones((1, 4))),
        lambda: diversity.kappa(np.ones(4)),
        lambda: diversity.kappa([[1, 0], [0, 0]]),
        lambda: diversity.kappa([[1, 0], [math.nan, 1]]),
        lambda: diversity.summarise(np.eye(3), [False] * 4),
        lambda: near_duplicates(["a", "b"], threshold=0),
    ],
)
def test_nonsense_is_refused(call):
    with pytest.raises(ValueError, match=r"\w+ .*"):
        call()


def test_near_duplicates_by_hand():
    prompts = [
        "one two three four five six seven eight nine ten eleven twelve",
        "One two three four FIVE six seven eight nine ten eleven thirteen",  # 9 of 11 grams
        "something else entirely",
        "one two three four five six seven eight nope no no no",  # 6 of 14 with the first
    ]
    found = near_duplicates(prompts)
    assert found.flags == (True, True, False, False)
    assert found.pairs == ((0, 1, pytest.approx(9 / 11)), (1, 0, pytest.approx(9 / 11)))
    assert found.rate == 0.5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is 3 + 4?", "what  is\n3 + 4?", True),
        ("What is 3 + 4?", "What is 3 - 4?", False),
        ("What is 3+4?", "What is 3 + 4?", True),
        ("yes", "Yes", True),
        ("yes", "no", False),
        ("", "  ", True),
        ("", "word", False),
        ("计算三加四等于多少", "计算三加四等于几多少", False),
        ("计算三加四等于多少再加五", "计算三加四等于多少再加五。", True),
        ("计算三加四等于多少", "请问今天天气怎么样", False),
    ],
)
def test_what_counts_as_the_same(one, other, same):
    assert near_duplicates([one, other]).flags == (same, same)


words = st.lists(st.sampled_from("abc"), max_size=9).map(" ".join)


@given(st.lists(words, max_size=12), st.sampled_from([0.3, 0.7, 1.0]))
def test_near_duplicates_are_those_of_brute_force(prompts, threshold):
    def grams(prompt):
        own = prompt.split()
        if len(own) < 3:
            return {tuple(own)}
        return {tuple(own[i : i + 3]) for i in range(len(own) - 2)}

    def alike(one, other):
        return len(grams(one) & grams(other)) / len(grams(one) | grams(other)) >= threshold

    expected = tuple(
        any(alike(one, other) for j, other in enumerate(prompts) if i != j)
        for i, one in enumerate(prompts)
    )
    assert near_duplicates(prompts, threshold).flags == expected


def test_blocks_join_up():
    """More prompts than one block: each is like its partner in the other half, and no other."""
    base = [f"start{i} a{i} b{i} c{i} d{i} end{i}" for i in range(300)]
    found = near_duplicates(base + base + ["and now for something completely different"])
    assert [(i, j) for i, j, _ in found.pairs] == [(i, (i + 300) % 600) for i in range(600)]
    assert found.flags == (True,) * 600 + (False,)


def test_no_prompts_have_no_duplicates():
    assert near_duplicates([]) == diversity.NearDuplicates((), (), 0.0)
