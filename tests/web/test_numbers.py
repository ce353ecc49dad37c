"""Numbers as they are shown."""

import pytest
from django.template import Context, Template

from environments.templatetags.measures import (
    RATE,
    VENDI,
    decimals,
    histogram,
    lasting,
    number,
    percent,
    ramp,
)


def shown(tag: str, **context: object) -> str:
    return Template("{% load measures %}" + tag).render(Context(context))


@pytest.mark.parametrize(
    ("low", "high", "places"),
    [(0.35, 0.49, 2), (0.350, 0.351, 2), (9.0, 10.5, 1), (10.0, 40.0, 0), (0.5, 0.5, 2), (0, 1, 1)],
)
def test_no_more_digits_than_the_interval_allows(low: float, high: float, places: int) -> None:
    assert decimals(low, high) == places


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert number(-0.001, 2) == "0.00"
    assert number(-1.25, 1) == "\N{MINUS SIGN}1.2"


@pytest.mark.parametrize(("share", "band"), [(0, 1), (0.2, 2), (0.5, 3), (0.99, 5), (1, 5)])
def test_the_ramp_has_five_bands(share: float, band: int) -> None:
    assert ramp(share) == band


def test_scales_clip_and_the_one_of_diversity_is_logarithmic() -> None:
    assert RATE.place(-3) == 0
    assert RATE.place(3) == 1
    assert VENDI.place(128) == 1
    assert VENDI.place(128**0.5) == pytest.approx(0.5)


def test_an_estimate_has_figures_interval_whisker_and_origin() -> None:
    found = {
        "value": 0.423,
        "low": 0.351,
        "high": 0.494,
        "method": "wilson",
        "tasks": 96,
        "rollouts": 768,
    }
    html = shown('{% estimate e "signal" %}', e=found)
    assert "<b>0.42</b>" in html
    assert "[0.35, 0.49]" in html
    assert "T = 96 tasks, 768 rollouts, 95 % interval: wilson" in html
    assert 'd="M42.1 8H59.3"' in html
    assert 'cx="50.8"' in html
    assert "ramp-3" in html


def test_a_missing_estimate_says_why_and_shows_no_number() -> None:
    html = shown("{% estimate e missing=why %}", e=None, why="No task has <8> rewards.")
    assert "No task has &lt;8&gt; rewards." in html
    assert "svg" not in html
    assert "not measured yet" in shown("{% estimate e %}", e={"value": None})


def test_a_reward_outside_zero_to_one_has_its_own_axis() -> None:
    html = shown(
        '{% estimate e "reward" low=-1 high=1 %}', e={"value": 0, "low": -0.5, "high": 0.5}
    )
    assert 'cx="60.0"' in html


def test_a_histogram_counts_every_task_once() -> None:
    found = {"zero": 3, "bins": [0, 2, 0, 0, 1, 4, 0, 0, 0, 1], "one": 2}
    drawn = histogram(found)
    assert drawn["total"] == 13
    assert [bar["count"] for bar in drawn["bars"]] == [3, *found["bins"], 2]
    assert max(bar["height"] for bar in drawn["bars"]) == drawn["base"]
    lefts = [bar["x"] for bar in drawn["bars"]]
    assert lefts == sorted(lefts)
    html = shown("{% histogram h %}", h=found)
    assert 'aria-label="Tasks by pass rate: 3 at 0,' in html
    assert html.count("<tr>") == 13
    assert "no task was rolled out" in shown("{% histogram h %}", h=None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "\N{EN DASH}"),
        (0.03, "30 ms"),
        (3.14, "3.1 s"),
        (42, "42 s"),
        (600, "10 min"),
        (9000, "2.5 h"),
    ],
)
def test_durations_in_words(seconds: float | None, words: str) -> None:
    assert lasting(seconds) == words


def test_small_shares_are_not_nothing() -> None:
    assert percent(0.004) == "under 1 %"
    assert percent(0) == "0 %"
    assert percent(0.12) == "12 %"
