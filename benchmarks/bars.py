"""What has to be reached: each bar is a ratio of two contestants in the same run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

TOLERANCE = 0.10
"""How far short of a bar a quick run may fall before it counts as failed."""


@dataclass(frozen=True)
class Bar:
    """`contestant` divided by `baseline` should be at least, or with `at_most` at most, `bound`."""

    number: int
    title: str
    contestant: str
    baseline: str
    bound: float
    at_most: bool = False


BARS = (
    Bar(1, "hot customer / no-op", "hot", "no-op", 0.70),
    Bar(1, "hot customer / per-request SQL", "hot", "sql hot", 4),
    Bar(1, "hot customer / pgbench on its hot row", "hot", "pgbench hot", 1.5),
    Bar(2, "10,000 customers / no-op", "spread", "no-op", 0.65),
    Bar(2, "10,000 customers / per-request SQL", "spread", "sql spread", 3),
    Bar(3, "hot customer with history / without", "hot with history", "hot", 0.95),
    Bar(4, "bulk events / single requests", "bulk events", "spread", 8),
    Bar(4, "bulk events / COPY", "bulk events", "copy", 0.25),
    Bar(4, "usage/batch on one customer / single requests", "batch", "hot", 6),
    Bar(5, "usage status / no-op", "status", "no-op status", 0.60),
    Bar(6, "a lone client's latency / per-request SQL's", "lone latency", "lone sql latency", 1.3, at_most=True),
    Bar(7, "messages, 1,000 counterparties / no-op", "messages", "no-op", 0.55),
)


@dataclass(frozen=True)
class Reached:
    """A bar and the ratios that the rounds gave."""

    bar: Bar
    ratios: Sequence[float]

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def ok(self) -> bool:
        return self.ratio <= self.bar.bound if self.bar.at_most else self.ratio >= self.bar.bound

    @property
    def nearly(self) -> bool:
        bound = self.bar.bound * (1 + TOLERANCE) if self.bar.at_most else self.bar.bound * (1 - TOLERANCE)
        return self.ratio <= bound if self.bar.at_most else self.ratio >= bound

    def line(self) -> str:
        bound = f"{'at most' if self.bar.at_most else 'at least'} {self.bar.bound:.2f}"
        verdict = "ok" if self.ok else "within a tenth" if self.nearly else "FAILED"
        return f"bar {self.bar.number}: {self.bar.title} {self.ratio:.2f} ({bound}) {verdict}"


def reached(rounds: Sequence[Mapping[str, float]]) -> list[Reached]:
    """Every bar, by the ratios of each round."""
    return [Reached(bar, [one[bar.contestant] / one[bar.baseline] for one in rounds]) for bar in BARS]
