"""Intervals: known values, properties, and how often they hold the truth."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.metrics import Method, difficulty, intervals

unit = st.floats(0, 1)
trials = st.integers(1, 16)
tasks = st.lists(st.tuples(unit, trials), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("successes", "n", "wilson", "exact"),
    [
        (8, 10, (0.4902, 0.9433), (0.4439, 0.9748)),
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (0, 20, (0, 0.1611), (0, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_known_values_of_a_rate(successes, n, wilson, exact):
    assert intervals.wilson(successes / n, n) == pytest.approx(wilson, abs=5e-5)
    assert intervals.clopper_pearson(successes, n) == pytest.approx(exact, abs=5e-5)


def test_known_value_of_the_cluster_standard_error():
    rewards, groups = [1, 1, 1, 0, 0, 0, 1, 0], [0, 0, 1, 1, 2, 2, 3, 3]
    means = [
        np.mean([r for r, g in zip(rewards, groups, strict=True) if g == group])
        for group in range(4)
    ]
    assert intervals.cluster_se(means) == pytest.approx(0.204124, abs=1e-6)


def test_known_quantiles():
    assert intervals.quantile_z() == pytest.approx(1.959964, abs=1e-6)
    assert intervals.quantile_t(31) == pytest.approx(2.039513, abs=1e-6)


def test_effective_size_by_hand():
    values, sizes = [0.0, 0.5, 0.5, 1.0], [8, 8, 8, 8]
    se2 = (0.5 / 3) / 4  # variance of the means over T
    deff = se2 / (0.25 / 32)
    shrink = (intervals.quantile_z() / intervals.quantile_t(3)) ** 2
    assert intervals.design_effect(values, sizes) == pytest.approx(deff)
    assert intervals.effective_size(values, sizes) == pytest.approx(32 / deff * shrink)


def test_design_effect_is_clipped_to_what_trials_can_tell():
    assert intervals.design_effect([0.0, 1.0] * 8, [4] * 16) == 4
    assert intervals.design_effect([0.5] * 16, [4] * 16) == 1
    assert intervals.design_effect([0.0, 1.0] * 8, [2, 4] * 8) == pytest.approx(8 / 3)


def test_all_or_nothing_counts_tasks_not_rollouts():
    estimate = intervals.mean_of_rates([1.0] * 20, [8] * 20, rollouts=160)
    assert (estimate.low, estimate.high) == intervals.wilson(1, 20)
    assert (estimate.tasks, estimate.rollouts) == (20, 160)


def test_bits_get_plain_wilson_over_tasks():
    estimate = intervals.mean_of_rates([1.0] * 8 + [0.0] * 2, [1] * 10)
    assert estimate.method is Method.WILSON
    assert (estimate.low, estimate.high) == pytest.approx((0.4902, 0.9433), abs=5e-5)


def test_cluster_t_by_hand():
    estimate = intervals.mean_of_values([0.2, 0.4, 0.9], bounds=(-10, 10))
    half = 4.302653 * np.std([0.2, 0.4, 0.9], ddof=1) / math.sqrt(3)
    assert estimate.method is Method.CLUSTER_T
    assert (estimate.low, estimate.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


def test_one_task_tells_nothing_of_the_others():
    rate = intervals.mean_of_rates([0.5], [8])
    mean = intervals.mean_of_values([3.0], bounds=(-1, 5))
    assert (rate.low, rate.high, rate.method) == (0, 1, Method.WHOLE_RANGE)
    assert (mean.low, mean.high, mean.method) == (-1, 5, Method.WHOLE_RANGE)


@pytest.mark.parametrize("value", [-1.0, 0.1, 5.0])
def test_equal_tasks_are_no_proof(value):
    estimate = intervals.mean_of_values([value] * 30, bounds=(-1, 5))
    assert estimate.value == value
    assert estimate.high - estimate.low > 0.3


def test_a_value_beyond_the_bounds_is_kept():
    estimate = intervals.mean_of_values([0.5, 0.5, 0.5, 0.4], bounds=(0, 0.25))
    assert estimate.value == estimate.high == pytest.approx(0.475)


@given(tasks, st.randoms())
def test_rates_lie_in_their_interval_and_know_no_order(sample, random):
    values, sizes = zip(*sample, strict=True)
    estimate = intervals.mean_of_rates(values, sizes)
    random.shuffle(sample)
    shuffled = intervals.mean_of_rates(*zip(*sample, strict=True))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert (shuffled.low, shuffled.value, shuffled.high) == pytest.approx(
        (estimate.low, estimate.value, estimate.high)
    )


@given(st.lists(st.floats(-3, 7), min_size=1, max_size=40), st.randoms())
def test_means_lie_in_their_interval_and_know_no_order(values, random):
    estimate = intervals.mean_of_values(values, bounds=(-3, 7))
    random.shuffle(values)
    shuffled = intervals.mean_of_values(values, bounds=(-3, 7))
    assert -3 <= estimate.low <= estimate.value <= estimate.high <= 7
    assert (shuffled.low, shuffled.high) == pytest.approx((estimate.low, estimate.high))


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_exact_interval_holds_the_rate(counts):
    successes, n = counts
    low, high = intervals.clopper_pearson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1


def coverage(estimate, truth: float, shape: tuple[float, float], *, n: int, count: int) -> float:
    """How often the interval from `count` tasks, p ~ Beta(shape), holds the truth."""
    rng = np.random.default_rng(7)
    passed = rng.binomial(n, rng.beta(*shape, size=(400, count)))
    made = (estimate(list(row)) for row in passed.tolist())
    return float(np.mean([interval.low <= truth <= interval.high for interval in made]))


@pytest.mark.parametrize("shape", [(0.3, 0.3), (1, 1), (2, 8), (8, 2)])
@pytest.mark.parametrize("count", [16, 96])
def test_wilson_on_the_effective_size_covers_a_pass_rate(shape, count):
    def estimate(passed):
        return intervals.mean_of_rates([c / 8 for c in passed], [8] * count)

    truth = shape[0] / sum(shape)
    assert 0.9 <= coverage(estimate, truth, shape, n=8, count=count) <= 0.99


@pytest.mark.parametrize("shape", [(0.3, 0.3), (1, 1), (2, 8)])
def test_intervals_cover_signal_and_learnability(shape):
    a, b = shape
    spread = a * b / ((a + b) * (a + b + 1))  # E[p(1-p)] of a Beta

    def learnability(passed):
        values = [difficulty.learnability(8, c) for c in passed]
        return intervals.mean_of_values(values, bounds=(0, 0.25))

    def signal(group, passed):
        values = [difficulty.signal_at_g([1] * c + [0] * (8 - c), group) for c in passed]
        return intervals.mean_of_rates(values, [8 / group] * len(passed))

    assert 0.9 <= coverage(learnability, spread, shape, n=8, count=32) <= 0.99
    # 1 - p^2 - (1-p)^2 = 2p(1-p)
    assert 0.9 <= coverage(partial(signal, 2), 2 * spread, shape, n=8, count=32) <= 1
    # 1 - p^4 - (1-p)^4 = 4p(1-p) - 2p^2(1-p)^2
    rng = np.random.default_rng(1)
    p = rng.beta(a, b, 2_000_000)
    truth = float(np.mean(1 - p**4 - (1 - p) ** 4))
    assert 0.9 <= coverage(partial(signal, 4), truth, shape, n=8, count=32) <= 0.995


def test_pooling_would_not_cover():
    """Why tasks are the unit: the same data, pooled, misses far too often."""

    def pooled(passed):
        rate = sum(passed) / (8 * len(passed))
        low, high = intervals.wilson(rate, 8 * len(passed))
        return intervals.Estimate(rate, low, high, Method.WILSON, len(passed))

    assert coverage(pooled, 0.5, (0.3, 0.3), n=8, count=32) < 0.75


@pytest.mark.parametrize(
    "call",
    [
        lambda: intervals.wilson(1.1, 10),
        lambda: intervals.wilson(0.5, 0),
        lambda: intervals.clopper_pearson(0, 0),
        lambda: intervals.clopper_pearson(3, 2),
        lambda: intervals.cluster_se([0.5]),
        lambda: intervals.mean_of_rates([], []),
        lambda: intervals.mean_of_rates([0.5, 0.5], [8]),
        lambda: intervals.mean_of_values([], bounds=(0, 1)),
        lambda: intervals.mean_of_values([1.0, 2.0], bounds=(1, 1)),
        lambda: intervals.mean_of_values([1.0, 2.0], bounds=(0, math.inf)),
        lambda: intervals.Estimate(0.5, 0.6, 0.7, Method.WILSON, 1),
    ],
)
def test_nonsense_is_refused(call):
    with pytest.raises(ValueError, match=r"\w+ .*"):
        call()
