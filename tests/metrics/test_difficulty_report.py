"""The published report of difficulty."""

import json
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.metrics import DifficultyReport, Method, TaskRewards, summarise
from graders.metrics.intervals import mean_of_rates


def make(rewards: Sequence[Sequence[float]], **changed) -> DifficultyReport:
    tasks = [TaskRewards(index, tuple(own)) for index, own in enumerate(rewards)]
    return summarise(
        tasks, **({"group": 4, "pass_threshold": 1.0, "reward_range": (0.0, 1.0)} | changed)
    )


def bits(n: int, c: int) -> list[float]:
    return [1.0] * c + [0.0] * (n - c)


def test_equal_tasks_by_hand():
    report = make([bits(4, 0), bits(4, 1), bits(4, 2), bits(4, 4)])
    assert (report.tasks, report.rollouts, report.k, report.unrewarded) == (4, 16, 4, 0)
    assert report.pass_at_1.value == report.mean_reward.value == pytest.approx(7 / 16)
    assert report.pass_at_k.value == 0.75
    assert report.signal.value == 0.5
    assert report.solve_none.value == report.solve_all.value == 0.25
    assert report.learnability.value == pytest.approx((3 / 12 + 4 / 12) / 4)
    assert report.signal.method is report.solve_all.method is Method.WILSON
    assert report.pass_at_1.method is Method.WILSON_N_EFF
    assert report.mean_reward.method is Method.CLUSTER_T
    assert not report.saturated
    assert report.missing == {}


def test_a_signal_of_several_groups_a_task_rests_on_all_of_them():
    tasks = [bits(8, c) for c in (0, 1, 2, 4, 4, 7, 8, 8)]
    report = make(tasks, group=2)
    expected = mean_of_rates([row.signal for row in report.rows], [4.0] * 8, rollouts=64)
    assert report.signal == expected
    assert report.signal.method is Method.WILSON_N_EFF


def test_rows_keep_order_and_threshold():
    report = make([[0.5, 0.5, 0.2, 0.4], [0.9, 1.0, 0.0, 0.0]], pass_threshold=0.5)
    first, second = report.rows
    assert (first.task, first.n, first.p, first.signal) == (0, 4, 0.5, 1.0)
    assert first.mean == pytest.approx(0.4)
    assert (second.p, second.mean) == (0.5, 0.475)


def test_histogram_keeps_never_and_always_apart():
    report = make([bits(10, c) for c in (0, 0, 1, 3, 3, 9, 10)] + [bits(3, 1), bits(30, 29)])
    assert (report.histogram.zero, report.histogram.one) == (2, 1)
    assert report.histogram.bins == (0, 1, 0, 3, 0, 0, 0, 0, 0, 2)


def test_unequal_tasks_each_count_once():
    """A task whose rollouts partly failed weighs as much as another, and is in no metric that
    needs more rollouts than it has.
    """
    report = make([bits(8, 8), bits(2, 0), bits(4, 2), []], group=4)
    assert (report.tasks, report.unrewarded, report.rollouts, report.k) == (3, 1, 14, 8)
    assert report.pass_at_1.value == pytest.approx(0.5)
    assert (report.pass_at_k.value, report.pass_at_k.tasks) == (1, 1)
    assert report.missing == {}
    assert (report.signal.value, report.signal.tasks, report.signal.rollouts) == (0.5, 2, 12)
    assert (report.solve_all.value, report.solve_all.tasks) == (1, 1)
    assert report.rows[1].signal is None
    assert report.learnability.tasks == 3


def test_one_rollout_a_task():
    report = make([[1.0], [0.0], [1.0]])
    assert report.pass_at_1 == report.pass_at_k
    assert (report.signal, report.learnability) == (None, None)
    assert set(report.missing) == {"signal", "learnability"}
    assert all(row.signal is None for row in report.rows)


def test_one_task():
    report = make([bits(8, 3)])
    assert (report.pass_at_1.low, report.pass_at_1.high) == (0, 1)
    assert (report.mean_reward.low, report.mean_reward.high) == (0, 1)
    assert report.pass_at_1.method is Method.WHOLE_RANGE


def test_saturated_only_beyond_doubt():
    assert make([bits(8, 8)] * 32).saturated
    assert not make([bits(8, 8)] * 12).saturated
    assert not make([bits(8, 8)] * 28 + [bits(8, 7)] * 4).saturated


def test_the_mean_stays_in_the_declared_range():
    report = make([[-1.0, -1.0], [3.0, -1.0], [-1.0, -1.0]], reward_range=(-1.0, 3.0))
    assert report.mean_reward.low == -1
    assert report.mean_reward.value == pytest.approx(-1 / 3)


def test_a_hopeless_environment_is_not_certain():
    report = make([bits(8, 0)] * 32)
    assert report.mean_reward.high == report.solve_all.high == pytest.approx(0.1072, abs=1e-4)
    assert report.learnability.high == pytest.approx(0.25 * 0.1072, abs=1e-4)


def test_a_report_is_json():
    report = make([bits(4, 1), bits(4, 3), [0.5, 1.0]])
    shown = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert shown["signal"]["method"] == "Wilson over tasks"
    assert (shown["pass_at_k"]["value"], shown["pass_at_k"]["tasks"]) == (1, 2)
    assert shown["reward_range"] == [0.0, 1.0]
    assert shown["rows"][2] == {"task": 2, "n": 2, "p": 0.5, "mean": 0.75, "signal": None}
    assert shown["histogram"]["bins"] == [0, 0, 1, 0, 0, 1, 0, 1, 0, 0]


rewards = st.lists(st.sampled_from([-2.0, 0.0, 0.5, 1.0, 4.0]), max_size=9)


@given(st.lists(rewards, min_size=1, max_size=12).filter(any), st.integers(2, 5), st.randoms())
def test_every_estimate_holds_and_knows_no_order(tasks, group, random):
    terms = {"group": group, "reward_range": (-2.0, 4.0)}
    report = make(tasks, **terms)
    for own in tasks:
        random.shuffle(own)
    random.shuffle(tasks)
    shuffled = make(tasks, **terms)
    for name in ("pass_at_1", "pass_at_k", "signal", "solve_none", "solve_all", "learnability"):
        one, other = getattr(report, name), getattr(shuffled, name)
        assert (one is None) == (other is None) == (name in report.missing)
        if one is not None:
            assert 0 <= one.low <= one.value <= one.high <= 1
            assert (one.low, one.high) == pytest.approx((other.low, other.high))
    assert -2 <= report.mean_reward.low <= report.mean_reward.high <= 4
    assert report.histogram == shuffled.histogram
    assert report.tasks == (
        report.histogram.zero + sum(report.histogram.bins) + report.histogram.one
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: make([]),
        lambda: make([[], []]),
        lambda: make([[1.5, 0.0]]),
        lambda: make([bits(4, 2)], group=1),
        lambda: make([bits(4, 2)], reward_range=(0.0, math.inf)),
    ],
)
def test_nonsense_is_refused(call):
    with pytest.raises(ValueError, match=r"\w+ .*"):
        call()
