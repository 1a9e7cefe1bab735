"""Charts as plain geometry: what templates draw as SVG beside a table of the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 420
HEIGHT: Final = 140
_BASE: Final = 116
"""Where bars stand; what is below holds the labels."""
_TOP: Final = 8
_LABELS_MAX: Final = 6
_SLOTS_MIN: Final = 6


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bar: what it is called, what was used, of that above the limit, and the limit of its time. Amounts in smallest parts."""

    label: str
    name: str
    used: int
    overage: int
    limit: int | None
    shown: str
    shown_limit: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar in the chart's coordinates. `overage_height` is the upper part of it, which lay above the limit."""

    x: float
    y: float
    width: float
    height: float
    overage_height: float
    label: str | None
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Step:
    """The limit over one bar."""

    x1: float
    x2: float
    y: float


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars from left to right, and the limit of each as a line."""

    bars: Sequence[Bar]
    steps: Sequence[Step]
    width: int = WIDTH
    height: int = HEIGHT
    base: int = _BASE

    @property
    def buckets(self) -> Sequence[Bucket]:
        return [bar.bucket for bar in self.bars]


def bar_chart(buckets: Sequence[Bucket], *, with_limits: bool = True) -> BarChart:
    """The tallest bar, or the highest limit that lets bars be seen beside it, fills the chart."""
    used_max = max((bucket.used for bucket in buckets), default=0)
    limits = [bucket.limit for bucket in buckets if bucket.limit is not None] if with_limits else []
    near = [limit for limit in limits if limit <= 4 * used_max] or ([min(limits)] if limits and not used_max else [])
    top = max([used_max, *near, 1])
    slot = WIDTH / max(len(buckets), _SLOTS_MIN)
    every = -(-len(buckets) // _LABELS_MAX) or 1
    bars, steps = [], []
    for place, bucket in enumerate(buckets):
        height = _height(max(bucket.used, 0), top)
        bars.append(
            Bar(
                x=_rounded(place * slot + slot * 0.15),
                y=_rounded(_BASE - height),
                width=_rounded(slot * 0.7),
                height=_rounded(height),
                overage_height=_rounded(_height(min(max(bucket.overage, 0), max(bucket.used, 0)), top)),
                label=bucket.label if place % every == 0 else None,
                bucket=bucket,
            )
        )
        if with_limits and bucket.limit is not None and bucket.limit <= top:
            steps.append(Step(_rounded(place * slot), _rounded((place + 1) * slot), _rounded(_BASE - _height(bucket.limit, top))))
    return BarChart(bars, steps)


def _height(value: int, top: int) -> float:
    return (_BASE - _TOP) * value / top


def _rounded(value: float) -> float:
    return round(value, 2)


@dataclass(frozen=True, slots=True)
class UsageBar:
    """How one feature stands, as parts of 1,000: what the plan covered, what top-ups did, what nothing did, what is set aside."""

    allowance: int
    grants: int
    overage: int
    held: int
    width: int = 1_000


def usage_bar(*, used: int, burnt: int, overage: int, held: int, limit: int | None) -> UsageBar | None:
    """None where there is no limit to measure against."""
    if limit is None:
        return None
    whole = max(limit, used + held, 1)
    parts = [1_000 * max(value, 0) // whole for value in (used - burnt - overage, burnt, overage, held)]
    return UsageBar(*parts)
