"""Numbers as the pages show them: every estimate with its interval, in figures and as a picture."""

import math
from dataclasses import dataclass
from typing import Any, Final

from django import template

register = template.Library()

DASH: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"
WIDTH: Final = 120.0  # of a whisker's drawing, in its own units
BANDS: Final = 5  # of the ramp
BAR_WIDTH: Final = 34.0
BAR_HEIGHT: Final = 110.0
GAP: Final = 24.0  # between the ends, never and always, and the bins


@dataclass(frozen=True)
class Scale:
    """What a whisker's axis runs over; `log` for quantities that multiply."""

    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def place(self, value: float) -> float:
        """Where `value` lies, from 0 at the low end to 1 at the high one; clipped to the axis."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.low))
        if high <= low:
            return 0.0
        return min(1.0, max(0.0, (value - low) / (high - low)))


RATE: Final = Scale()
VENDI: Final = Scale(1.0, 128.0, log=True)


def decimals(low: float | None, high: float | None) -> int:
    """How many decimals an interval allows: two figures of its width, and two decimals at most."""
    if low is None or high is None or not high > low:
        return 2
    return max(0, min(2, 1 - math.floor(math.log10(high - low))))


def number(value: float, places: int) -> str:
    """`value` with that many decimals and a true minus sign, never a negative zero."""
    text = f"{value:.{places}f}"
    if float(text) == 0:
        text = f"{0:.{places}f}"
    return text.replace("-", MINUS)


def ramp(share: float) -> int:
    """The band of the ramp, 1 to 5, for a share of 0..1."""
    return min(BANDS, int(share * BANDS) + 1)


@register.filter
def measure(headline: Any, name: str) -> dict[str, Any] | None:
    """One of a headline's measures as an estimate, or None if it was not measured."""
    value = getattr(headline, name, None)
    if value is None:
        return None
    return {
        "value": value,
        "low": getattr(headline, f"{name}_low"),
        "high": getattr(headline, f"{name}_high"),
        "tasks": headline.tasks,
        "per_task": headline.rollouts,
        "model": headline.model,
    }


@register.inclusion_tag("measures/estimate.html")
def estimate(
    found: dict[str, Any] | None,
    kind: str = "rate",
    low: float = 0.0,
    high: float = 1.0,
    missing: str = "not measured yet",
) -> dict[str, Any]:
    """Figures and whisker of an estimate: `value, low, high` and how it came about (`_about`).

    `kind` is `signal` (drawn in the ramp), `rate`, `reward` (an axis from `low` to `high`) or
    `vs2` (a logarithmic axis from 1 to 128). Without a value it says `missing`.
    """
    if not found or found.get("value") is None:
        return {"missing": missing}
    value, ends = found["value"], (found.get("low"), found.get("high"))
    scale = {"vs2": VENDI, "reward": Scale(low, high)}.get(kind, RATE)
    places = decimals(*ends)
    return {
        "value": number(value, places),
        "interval": [number(end, places) for end in ends if end is not None],
        "drawing": _whisker(value, *ends, scale, kind == "signal"),
        "about": _about(found),
    }


def _about(found: dict[str, Any]) -> str:
    """How an estimate came about, for those who point at it."""
    parts = [
        f"T = {found['tasks']} tasks" if found.get("tasks") else "",
        f"n = {found['per_task']} rollouts a task" if found.get("per_task") else "",
        f"{found['rollouts']} rollouts" if found.get("rollouts") else "",
        str(found.get("model") or ""),
        f"95 % interval: {found['method']}" if found.get("method") else "95 % interval",
    ]
    return ", ".join(part for part in parts if part)


@register.inclusion_tag("measures/whisker.html")
def whisker(value: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """A dot with its interval on an axis from 0 to 1."""
    return {"drawing": _whisker(value, low, high, RATE, True)}


def _whisker(
    value: float, low: float | None, high: float | None, scale: Scale, in_ramp: bool
) -> dict[str, Any]:
    share = scale.place(value)
    drawing: dict[str, Any] = {"at": round(WIDTH * share, 1), "band": ramp(share) if in_ramp else 0}
    if low is not None and high is not None:
        drawing["from"] = round(WIDTH * scale.place(low), 1)
        drawing["to"] = round(WIDTH * scale.place(high), 1)
    return drawing


@register.inclusion_tag("measures/histogram.html")
def histogram(found: dict[str, Any] | None) -> dict[str, Any]:
    """Bars of how many tasks have which pass rate: exactly 0, ten equal bins, exactly 1."""
    if not found:
        return {"bars": []}
    bins = [int(count) for count in found["bins"]]
    step = 1 / len(bins)
    labels = [f"{i * step:.1f}{DASH}{(i + 1) * step:.1f}" for i in range(len(bins))]
    middles = [(i + 0.5) * step for i in range(len(bins))]
    rows = [
        ("0", 0.0, int(found["zero"])),
        *zip(labels, middles, bins, strict=True),
        ("1", 1.0, int(found["one"])),
    ]
    most = max(1, *(count for *_, count in rows))
    bars = [_bar(_left(place, len(rows)), row, most) for place, row in enumerate(rows)]
    return {
        "bars": bars,
        "width": round(_left(len(rows) - 1, len(rows)) + BAR_WIDTH),
        "base": BAR_HEIGHT,
        "ticks": [
            (f"{place * step:.1f}", round(_left(1, len(rows)) + BAR_WIDTH * place, 1))
            for place in range(0, len(bins) + 1, 2)
        ],
        "total": sum(count for *_, count in rows),
    }


def _left(place: int, bars: int) -> float:
    """Where a bar begins; the first and the last stand apart."""
    return BAR_WIDTH * place + GAP * ((place > 0) + (place == bars - 1))


def _bar(left: float, row: tuple[str, float, int], most: int) -> dict[str, Any]:
    label, p, count = row
    height = BAR_HEIGHT * count / most
    return {
        "label": label,
        "count": count,
        "x": round(left + 2, 1),
        "y": round(BAR_HEIGHT - height, 1),
        "width": BAR_WIDTH - 4,
        "height": round(height, 1),
        "middle": round(left + BAR_WIDTH / 2, 1),
        "above": round(BAR_HEIGHT - height - 4, 1),
        # A task trains most where p(1 - p) is greatest.
        "band": ramp(4 * p * (1 - p)),
    }


@register.filter
def rate(value: float | None, places: int = 2) -> str:
    """A number of a table; a dash where there is none."""
    return DASH if value is None else number(value, places)


@register.filter
def digest(sha256: str) -> str:
    """The beginning of a digest: enough to recognise it."""
    return sha256[:12]


@register.filter
def percent(share: float | None) -> str:
    """A share in percent; below one percent it says so rather than 0 %."""
    if share is None:
        return DASH
    if 0 < share < 0.01:
        return "under 1 %"
    return f"{100 * share:.0f} %"


@register.filter
def lasting(seconds: float | None) -> str:
    """A duration in words."""
    if seconds is None:
        return DASH
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h"
