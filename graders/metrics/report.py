"""An environment's difficulty, as it is published: every number with its interval."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from graders.metrics import difficulty
from graders.metrics.difficulty import TaskRewards
from graders.metrics.intervals import Estimate, mean_of_rates, mean_of_values

BINS = 10
SATURATED_ABOVE = 0.8
# The greatest p(1-p).
LEARNABILITY_BOUNDS = (0.0, 0.25)

# n and c of one task.
Count = tuple[int, int]
AtK = Callable[[int, int, int], float | None]


@dataclass(frozen=True)
class TaskRow:
    """One task: how many rollouts have a reward, pass rate p, mean reward and signal@G.

    `signal` is None if the task has fewer than G rewards.
    """

    task: int
    n: int
    p: float
    mean: float
    signal: float | None


@dataclass(frozen=True)
class Histogram:
    """How tasks are spread over pass rates. `zero`, `bins` and `one` sum to T.

    Attributes:
        zero, one: how many tasks were never passed, and how many always.
        bins: the other tasks by p in [0, 0.1), [0.1, 0.2), ... [0.9, 1).
    """

    zero: int
    bins: tuple[int, ...]
    one: int


@dataclass(frozen=True)
class DifficultyReport:
    """How hard an environment is for one policy, over T tasks of n rollouts each.

    Every estimate is a mean over tasks of unbiased per-task values, and its `tasks` says over how
    many: a task with fewer rewards than a metric needs is left out of that metric.

    Attributes:
        tasks: tasks with at least one reward (T).
        unrewarded: tasks of which no rollout has a reward; they count nowhere.
        rollouts: rewards in all.
        group: G of signal@G.
        k: the most rewards that any task has (n), and the k of pass@k, solve-none@k, solve-all@k.
        pass_threshold: the reward from which a rollout passes.
        reward_range: the least and the greatest reward.
        mean_reward: in the environment's own unit.
        pass_at_1, pass_at_k, signal, solve_none, solve_all: rates, 0 to 1.
        learnability: p(1-p), truly 0 to 0.25.
        histogram: tasks by pass rate.
        rows: one a task, in the order given.
        saturated: whether solve-all@k is above 0.8 beyond doubt, so that little is left to learn.
        missing: for each estimate that is None, why.
    """

    tasks: int
    unrewarded: int
    rollouts: int
    group: int
    k: int
    pass_threshold: float
    reward_range: tuple[float, float]
    mean_reward: Estimate
    pass_at_1: Estimate
    pass_at_k: Estimate
    signal: Estimate | None
    learnability: Estimate | None
    solve_none: Estimate
    solve_all: Estimate
    histogram: Histogram
    rows: tuple[TaskRow, ...]
    saturated: bool
    missing: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The report in JSON's own types."""
        return asdict(self)


def summarise(
    tasks: Sequence[TaskRewards],
    *,
    group: int,
    pass_threshold: float,
    reward_range: tuple[float, float],
) -> DifficultyReport:
    """Estimate the difficulty of an environment from its tasks' rewards.

    Args:
        tasks: the rewards of each task that was rolled out, in the order to be shown.
        group: G of signal@G, at least 2.
        pass_threshold: the least reward that is a pass.
        reward_range: the least and the greatest reward that the environment may give.

    Raises:
        ValueError: no task has a reward, a reward is out of range, or an argument is.
    """
    seen = _checked(tasks, reward_range)
    counts = [(task.n, task.passes(pass_threshold)) for task in seen]
    rollouts, k = sum(n for n, _ in counts), max(n for n, _ in counts)
    rows = tuple(_row(task, count, group) for task, count in zip(seen, counts, strict=True))
    missing = _missing(k, group)
    solve_all = _at_k(counts, k, difficulty.solve_all)
    return DifficultyReport(
        tasks=len(seen),
        unrewarded=len(tasks) - len(seen),
        rollouts=rollouts,
        group=group,
        k=k,
        pass_threshold=pass_threshold,
        reward_range=reward_range,
        mean_reward=mean_of_values(
            [row.mean for row in rows], bounds=reward_range, rollouts=rollouts
        ),
        pass_at_1=mean_of_rates(
            [row.p for row in rows], [row.n for row in rows], rollouts=rollouts
        ),
        pass_at_k=_at_k(counts, k, difficulty.pass_at_k),
        signal=None if "signal" in missing else _signal(rows, group),
        learnability=None if "learnability" in missing else _learnability(counts),
        solve_none=_at_k(counts, k, difficulty.solve_none),
        solve_all=solve_all,
        histogram=_histogram(counts),
        rows=rows,
        saturated=solve_all.low > SATURATED_ABOVE,
        missing=missing,
    )


def _checked(tasks: Sequence[TaskRewards], reward_range: tuple[float, float]) -> list[TaskRewards]:
    """The tasks that have a reward."""
    low, high = reward_range
    for task in tasks:
        if not all(low <= reward <= high for reward in task.rewards):
            raise ValueError(f"A reward of task {task.task} is outside [{low}, {high}].")
    seen = [task for task in tasks if task.n]
    if not seen:
        raise ValueError(f"None of {len(tasks)} tasks has a reward.")
    return seen


def _row(task: TaskRewards, count: Count, group: int) -> TaskRow:
    return TaskRow(
        task=task.task,
        n=task.n,
        p=difficulty.pass_at_1(*count),
        mean=difficulty.mean_reward(task.rewards),
        signal=difficulty.signal_at_g(task.rewards, group),
    )


def _missing(k: int, group: int) -> dict[str, str]:
    """The estimates that these tasks do not allow, and why."""
    reasons = {
        "signal": f"No task has {group} rewards." if k < group else "",
        "learnability": "No task has 2 rewards." if k < 2 else "",
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _at_k(counts: Sequence[Count], k: int, estimator: AtK) -> Estimate:
    """The mean over the tasks with k rewards of what is one bit a task."""
    full = [(n, c) for n, c in counts if n >= k]
    values = _known(estimator(n, c, k) for n, c in full)
    return mean_of_rates(values, [1] * len(full), rollouts=k * len(full))


def _signal(rows: Sequence[TaskRow], group: int) -> Estimate:
    full = [row for row in rows if row.signal is not None]
    return mean_of_rates(
        _known(row.signal for row in full),
        [row.n / group for row in full],
        rollouts=sum(row.n for row in full),
    )


def _learnability(counts: Sequence[Count]) -> Estimate:
    several = [(n, c) for n, c in counts if n >= 2]
    values = _known(difficulty.learnability(n, c) for n, c in several)
    rollouts = sum(n for n, _ in several)
    return mean_of_values(values, bounds=LEARNABILITY_BOUNDS, rollouts=rollouts)


def _histogram(counts: Sequence[Count]) -> Histogram:
    bins = [0] * BINS
    for n, c in counts:
        if 0 < c < n:
            # In whole numbers: 0.3 is in the bin that starts there.
            bins[BINS * c // n] += 1
    never, always = sum(c == 0 for _, c in counts), sum(c == n for n, c in counts)
    return Histogram(zero=never, bins=tuple(bins), one=always)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
