"""Estimators of one task: known values, and unbiasedness over every outcome there is."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.metrics import TaskRewards, difficulty

GRADED = [0, 0, 0.5, 1, 1, 1, 0, 0.5]
RATES = [0.0, 0.03, 0.25, 0.5, 0.8, 1.0]


def bits(n: int, c: int) -> list[float]:
    return [1.0] * c + [0.0] * (n - c)


def expected(n: int, p: float, estimate) -> float:
    """The mean of estimate(n, c) over all c, c binomial."""
    return math.fsum(
        math.comb(n, c) * p**c * (1 - p) ** (n - c) * estimate(n, c) for c in range(n + 1)
    )


@pytest.mark.parametrize(("c", "pass_at_5", "pass_hat_5"), [(3, 0.916667, 0.0), (7, 1.0, 0.083333)])
def test_known_values_of_ten_rollouts(c, pass_at_5, pass_hat_5):
    assert difficulty.pass_at_k(10, c, 5) == pytest.approx(pass_at_5, abs=1e-6)
    assert difficulty.pass_hat_k(10, c, 5) == pytest.approx(pass_hat_5, abs=1e-6)
    assert difficulty.signal_at_g(bits(10, c), 5) == pytest.approx(0.916667, abs=1e-6)
    assert difficulty.learnability(10, c) == pytest.approx(0.233333, abs=1e-6)


def test_known_values_of_eight_rollouts():
    assert difficulty.signal_at_g(bits(8, 4), 4) == pytest.approx(0.971429, abs=1e-6)
    assert difficulty.signal_at_g(bits(8, 4), 2) == pytest.approx(0.571429, abs=1e-6)
    assert difficulty.learnability(8, 4) == pytest.approx(0.285714, abs=1e-6)
    assert difficulty.signal_at_g(GRADED, 3) == pytest.approx(0.964286, abs=1e-6)
    assert difficulty.mean_reward(GRADED) == 0.5
    assert difficulty.pass_at_1(8, 3) == 0.375


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 2), (5, 3), (8, 4), (8, 8), (9, 1)])
def test_rates_of_k_rollouts_are_unbiased(n, k, p):
    def at_k(estimator):
        return expected(n, p, lambda n, c: estimator(n, c, k))

    assert at_k(difficulty.pass_at_k) == pytest.approx(1 - (1 - p) ** k)
    assert at_k(difficulty.pass_hat_k) == pytest.approx(p**k)
    assert at_k(difficulty.solve_all) == pytest.approx(p**k)
    assert at_k(difficulty.solve_none) == pytest.approx((1 - p) ** k)


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize(("n", "group"), [(2, 2), (5, 3), (8, 2), (8, 8), (9, 4)])
def test_signal_and_learnability_are_unbiased(n, group, p):
    signal = expected(n, p, lambda n, c: difficulty.signal_at_g(bits(n, c), group))
    assert signal == pytest.approx(1 - p**group - (1 - p) ** group)
    assert expected(n, p, difficulty.learnability) == pytest.approx(p * (1 - p))


@pytest.mark.parametrize("group", [2, 3, 5])
def test_signal_of_graded_rewards_is_unbiased(group):
    chances = {0.0: 0.5, 0.25: 0.3, 1.0: 0.2}
    mean = math.fsum(
        math.prod(chances[reward] for reward in outcome) * difficulty.signal_at_g(outcome, group)
        for outcome in itertools.product(chances, repeat=5)
    )
    assert mean == pytest.approx(1 - sum(chance**group for chance in chances.values()))


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.1, 1.0]), min_size=4, max_size=9), st.data())
def test_signal_is_the_share_of_all_groups_and_knows_no_order(rewards, data):
    groups = list(itertools.combinations(rewards, 4))
    share = sum(len(set(group)) > 1 for group in groups) / len(groups)
    shuffled = data.draw(st.permutations(rewards))
    assert difficulty.signal_at_g(rewards, 4) == pytest.approx(share)
    assert difficulty.signal_at_g(shuffled, 4) == difficulty.signal_at_g(rewards, 4)
    assert difficulty.mean_reward(shuffled) == difficulty.mean_reward(rewards)


def test_equal_means_the_same_float():
    assert difficulty.signal_at_g([0.3, 0.1 + 0.2], 2) == 1
    assert difficulty.signal_at_g([0.0, -0.0], 2) == 0


def test_too_few_rollouts_give_nothing():
    assert difficulty.pass_at_k(7, 7, 8) is None
    assert difficulty.pass_hat_k(7, 7, 8) is None
    assert difficulty.solve_none(7, 0, 8) is None
    assert difficulty.solve_all(7, 7, 8) is None
    assert difficulty.signal_at_g(bits(7, 3), 8) is None
    assert difficulty.learnability(1, 1) is None


def test_large_groups_do_not_overflow():
    assert difficulty.pass_at_k(5000, 1, 2500) == 0.5
    assert difficulty.signal_at_g(bits(4000, 2000), 2000) == pytest.approx(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: difficulty.mean_reward([]),
        lambda: difficulty.pass_at_1(0, 0),
        lambda: difficulty.pass_at_k(3, 4, 1),
        lambda: difficulty.pass_at_k(3, -1, 1),
        lambda: difficulty.pass_hat_k(3, 1, 0),
        lambda: difficulty.signal_at_g([1.0, 0.0], 1),
        lambda: TaskRewards(3, (0.0, math.nan)),
        lambda: TaskRewards(3, (math.inf,)),
    ],
)
def test_nonsense_is_refused(call):
    with pytest.raises(ValueError, match=r"\w+ .*"):
        call()
