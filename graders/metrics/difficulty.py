"""Unbiased estimators of one task's difficulty, from its rollouts.

`n` is the number of a task's rollouts that have a reward and `c` how many of them passed. Every
function estimates one task; an environment's number is the mean over its tasks of these (see
`graders.metrics.report`), which keeps it unbiased where tasks have different n. None means that
so few rollouts allow no unbiased estimate. No function puts c/n into a formula meant for the true
rate: that is biased, by 50 % for p(1-p) at n = 2.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TaskRewards:
    """The rewards of one task.

    Attributes:
        task: the task's index in its environment.
        rewards: one finite number a rollout, in any order. A rollout without a reward (the
            environment or the model failed) is left out, so tasks may differ in how many they have.

    Raises:
        ValueError: a reward is NaN or infinite.
    """

    task: int
    rewards: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.rewards)):
            raise ValueError(f"A reward of task {self.task} is not finite: {self.rewards}")

    @property
    def n(self) -> int:
        """How many rollouts have a reward."""
        return len(self.rewards)

    def passes(self, threshold: float) -> int:
        """How many rewards reach `threshold` (c)."""
        return sum(reward >= threshold for reward in self.rewards)


def mean_reward(rewards: Sequence[float]) -> float:
    """The mean of a task's rewards, of which there is at least one."""
    if not rewards:
        raise ValueError("A task without rewards has no mean reward.")
    return math.fsum(rewards) / len(rewards)


def pass_at_1(n: int, c: int) -> float:
    """The probability that one rollout passes: c/n, n being at least 1."""
    _check(n, c, 1)
    if n == 0:
        raise ValueError("A task without rewards has no pass rate.")
    return c / n


def pass_at_k(n: int, c: int, k: int) -> float | None:
    """The probability that at least one of k rollouts passes: 1 - C(n-c, k) / C(n, k).

    Chen et al. 2021, "Evaluating Large Language Models Trained on Code", eq. 1. None if n < k.
    """
    _check(n, c, k)
    return (math.comb(n, k) - math.comb(n - c, k)) / math.comb(n, k) if n >= k else None


def pass_hat_k(n: int, c: int, k: int) -> float | None:
    """The probability that all of k rollouts pass (pass^k): C(c, k) / C(n, k).

    Yao et al. 2024, "tau-bench", section 3. None if n < k.
    """
    _check(n, c, k)
    return math.comb(c, k) / math.comb(n, k) if n >= k else None


def solve_all(n: int, c: int, k: int) -> float | None:
    """solve-all@k, another name of pass^k: at k = n it is 1 if every rollout passed, else 0."""
    return pass_hat_k(n, c, k)


def solve_none(n: int, c: int, k: int) -> float | None:
    """The probability that none of k rollouts passes; at k = n it is 1 if c = 0, else 0."""
    return pass_hat_k(n, n - c, k)


def signal_at_g(rewards: Sequence[float], group: int) -> float | None:
    """signal@G: the probability that G rollouts do not all get the same reward.

    Such a group is one that has a gradient under GRPO; DAPO (arXiv 2503.14476, section 3.2) drops
    the others. 1 - sum over values v of C(m_v, G) / C(n, G), where m_v counts the rewards equal to
    v. Rewards are equal if they are the same float. Since no sample of fewer than G rollouts tells
    anything unbiased about groups of G, the answer is None if n < G.
    """
    if group < 2:
        raise ValueError(f"A group has at least 2 rollouts, not {group}.")
    n = len(rewards)
    if n < group:
        return None
    equal = sum(math.comb(count, group) for count in Counter(rewards).values())
    return (math.comb(n, group) - equal) / math.comb(n, group)


def learnability(n: int, c: int) -> float | None:
    """p(1-p), the variance of the pass rate: c(n-c) / (n(n-1)), the ddof=1 sample variance.

    Foster et al. 2025 (LILO); Bae et al., arXiv 2504.03380. None if n < 2.
    """
    _check(n, c, 1)
    return c * (n - c) / (n * (n - 1)) if n >= 2 else None


def _check(n: int, c: int, k: int) -> None:
    if not 0 <= c <= n:
        raise ValueError(f"{c} of {n} rollouts cannot have passed.")
    if k < 1:
        raise ValueError(f"k is at least 1, not {k}.")
