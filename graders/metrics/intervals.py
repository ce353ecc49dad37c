"""95 % intervals for means over tasks.

Rollouts of one task resemble each other, so the task is the unit that was sampled (Miller 2024,
arXiv 2411.00640): an estimate is the unweighted mean over tasks of unbiased per-task values, and
its standard error is taken between tasks. That stays right where tasks have different numbers of
rollouts. Pooling all rollouts into one binomial would cover 59 to 85 % instead of 95 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import special

CONFIDENCE = 0.95
_UPPER = 0.5 + CONFIDENCE / 2


class Method(StrEnum):
    """How an interval was made."""

    WILSON = "Wilson over tasks"
    WILSON_N_EFF = "Wilson on the effective sample size"
    CLUSTER_T = "t over tasks"
    JACKKNIFE = "delete-one jackknife"
    WHOLE_RANGE = "whole range: too few to tell"


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and what it rests on.

    Attributes:
        value: the estimate; low <= value <= high.
        low, high: ends of the interval, in the value's unit.
        method: how the interval was made.
        tasks: how many tasks counted (T).
        rollouts: how many rollouts those tasks have together; 0 where none are involved.
    """

    value: float
    low: float
    high: float
    method: Method
    tasks: int
    rollouts: int = 0

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value} is outside [{self.low}, {self.high}]")


def quantile_z() -> float:
    """The normal quantile of a two-sided 95 % interval, 1.95996."""
    return float(special.ndtri(_UPPER))


def quantile_t(df: int) -> float:
    """Student's t quantile of a two-sided 95 % interval with `df` >= 1 degrees of freedom."""
    return float(special.stdtrit(df, _UPPER))


def wilson(rate: float, n: float) -> tuple[float, float]:
    """Wilson's (1927) score interval of a rate in [0, 1] seen in `n` > 0 trials; n may be broken.

    Always holds `rate` and stays inside [0, 1].
    """
    _check_rate(rate, n)
    z2 = quantile_z() ** 2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def clopper_pearson(successes: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's (1934) exact interval of `successes` in `n` >= 1 independent trials."""
    _check_rate(successes / n if n else math.nan, n)
    tail = 1 - _UPPER
    low = special.betaincinv(successes, n - successes + 1, tail) if successes else 0.0
    high = special.betaincinv(successes + 1, n - successes, _UPPER) if successes < n else 1.0
    return float(low), float(high)


def cluster_se(values: Sequence[float]) -> float:
    """The standard error of the mean of T >= 2 per-task values: SD(values) / sqrt(T).

    This is the cluster-robust standard error (Miller 2024, section 2.2) of the mean over tasks.
    """
    if len(values) < 2:
        raise ValueError("A standard error between tasks needs 2 tasks.")
    # The mean of equal numbers may differ from them in the last bit; their spread is still 0.
    if min(values) == max(values):
        return 0.0
    return float(np.std(np.asarray(values, dtype=float), ddof=1)) / math.sqrt(len(values))


def design_effect(values: Sequence[float], trials: Sequence[float]) -> float:
    """DEFF: the cluster variance of a mean of per-task rates over that of independent trials.

    Args:
        values: a rate in [0, 1] for each of T >= 2 tasks, their mean neither 0 nor 1.
        trials: how many independent trials stand behind each rate, were p the same everywhere;
            at least 1 each.

    Returns:
        SE_cluster^2 / (p(1-p) / T^2 * sum(1/trials)), clipped to [1, m] where m is the harmonic
        mean of `trials`: tasks cannot tell more than their trials, nor less than one trial each.
        With n trials everywhere the denominator is p(1-p) / (T n), Kish's definition.
    """
    rate = math.fsum(values) / len(values)
    per_task = _harmonic_mean(trials)
    independent = rate * (1 - rate) / (len(values) * per_task)
    return min(max(cluster_se(values) ** 2 / independent, 1.0), per_task)


def effective_size(values: Sequence[float], trials: Sequence[float]) -> float:
    """n_eff: how many independent trials would tell as much, for Wilson's interval.

    T m / DEFF * (z / t_{T-1})^2 with m the harmonic mean of `trials` (n where all have n); the
    last factor pays for the standard error's own uncertainty (Korn & Graubard 1998, as for survey
    data). It is T where all values are 0 or all are 1, for then nothing is known of the spread.
    T is at least 2.
    """
    tasks = len(values)
    if math.fsum(values) in (0.0, float(tasks)):
        return float(tasks)
    n = tasks * _harmonic_mean(trials) / design_effect(values, trials)
    return n * (quantile_z() / quantile_t(tasks - 1)) ** 2


def mean_of_rates(
    values: Sequence[float], trials: Sequence[float], *, rollouts: int = 0
) -> Estimate:
    """The mean of per-task rates with Wilson's interval.

    Args:
        values: an unbiased estimate in [0, 1] of each task's rate.
        trials: the independent trials behind each, at least 1: n for a pass rate, n/G for
            signal@G, 1 where the value is one bit.
        rollouts: how many rollouts the values come from, to be shown.

    With one trial a task the values are independent bits, and Wilson's interval is taken over T;
    otherwise on `effective_size`, and of one task nothing is known about the others. In simulation
    it covers 92 to 99 %, for pass rates and signal@G alike (T = 16 and 96, n = 8 and 16, five Beta
    shapes of difficulty).
    """
    _check_some(values)
    if len(values) != len(trials):
        raise ValueError(f"{len(values)} tasks have trials for {len(trials)}.")
    tasks = len(values)
    value = math.fsum(values) / tasks
    if all(count == 1 for count in trials):
        return Estimate(value, *wilson(value, tasks), Method.WILSON, tasks, rollouts)
    if tasks == 1:
        return Estimate(value, 0.0, 1.0, Method.WHOLE_RANGE, tasks, rollouts)
    ends = wilson(value, effective_size(values, trials))
    return Estimate(value, *ends, Method.WILSON_N_EFF, tasks, rollouts)


def mean_of_values(
    values: Sequence[float], *, bounds: tuple[float, float], rollouts: int = 0
) -> Estimate:
    """The mean of per-task values with the cluster t interval, clipped to `bounds`.

    value +- t_{T-1} SD/sqrt(T). If all values are equal that interval has no width, which would
    claim too much; then Wilson's interval for T tasks is stretched over `bounds` instead, the
    widest choice, for nothing on [0, 1] varies more than a bit of the same mean.

    Args:
        values: one number a task.
        bounds: the least and greatest value that the true mean can have, low < high. A value
            beyond them, as an unbiased estimate may be, is kept, and so lies in the interval.
        rollouts: how many rollouts the values come from, to be shown.
    """
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"Bounds are two finite numbers, the lower first, not {bounds}.")
    _check_some(values)
    tasks = len(values)
    value = values[0] if min(values) == max(values) else math.fsum(values) / tasks
    if tasks == 1:
        ends, method = bounds, Method.WHOLE_RANGE
    elif (error := cluster_se(values)) > 0:
        half = quantile_t(tasks - 1) * error
        ends, method = (value - half, value + half), Method.CLUSTER_T
    else:
        unit = wilson(min(max((value - low) / (high - low), 0.0), 1.0), tasks)
        ends, method = (low + unit[0] * (high - low), low + unit[1] * (high - low)), Method.WILSON
    lower, upper = min(value, max(ends[0], low)), max(value, min(ends[1], high))
    return Estimate(value, lower, upper, method, tasks, rollouts)


def _harmonic_mean(trials: Sequence[float]) -> float:
    return len(trials) / math.fsum(1 / count for count in trials)


def _check_rate(rate: float, n: float) -> None:
    if not (0 <= rate <= 1 and n > 0):
        raise ValueError(f"There is no interval of a rate of {rate} in {n} trials.")


def _check_some(values: Sequence[float]) -> None:
    if not values:
        raise ValueError("There is no task to estimate from.")
