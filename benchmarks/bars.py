"""What has to be reached: each bar is a ratio of two contestants in the same run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

TOLERANCE = 0.10
"""How far short of a bar a quick run may fall before it counts as failed."""


@dataclass(frozen=True)
class Bar:
    """`contestant` divided by `baseline`, if there is one, should be at least, or with `at_most` at most, `bound`."""

    number: int
    title: str
    contestant: str
    baseline: str | None
    bound: float
    at_most: bool = False


BARS = (
    Bar(1, "hot customer / FastAPI's route", "hot", "fastapi hot", 2.0),
    Bar(1, "hot customer / no-op through the frame", "hot", "no-op", 0.85),
    Bar(1, "hot customer / an empty FastAPI route", "hot", "empty", 1.2),
    Bar(1, "hot customer / pgbench on its hot row", "hot", "pgbench hot", 4),
    Bar(1, "hot customer / per-request SQL", "hot", "sql hot", 4),
    Bar(2, "10,000 customers / FastAPI's route", "spread", "fastapi spread", 1.8),
    Bar(2, "10,000 customers / no-op through the frame", "spread", "no-op", 0.85),
    Bar(2, "10,000 customers / per-request SQL", "spread", "sql spread", 3),
    Bar(3, "hot customer with history / without", "hot with history", "hot", 0.95),
    Bar(3, "hot customer with three grants / without", "granted", "hot", 0.9),
    Bar(3, "hot customer whose grants pay for everything / without", "burning", "hot", 0.9),
    Bar(4, "bulk events / single requests to FastAPI's route", "bulk events", "fastapi spread", 8),
    Bar(4, "bulk events / COPY", "bulk events", "copy", 0.25),
    Bar(4, "usage/batch on one customer / single requests to FastAPI's route", "batch", "fastapi hot", 6),
    Bar(5, "usage status / FastAPI's route", "status", "fastapi status", 1.6),
    Bar(6, "a lone client's latency / FastAPI's route's", "lone latency", "fastapi lone latency", 1.05, at_most=True),
    Bar(6, "a lone client's latency / per-request SQL's", "lone latency", "lone sql latency", 1.3, at_most=True),
    Bar(7, "messages, 1,000 counterparties / FastAPI's route", "messages", "fastapi messages", 1.6),
    Bar(8, "new sessions / FastAPI's route", "sessions", "fastapi sessions", 1.6),
    Bar(11, "six months of a large customer / of an empty ledger", "long history", "empty history", 3, at_most=True),
    Bar(11, "the same by day / of an empty ledger", "long history by day", "empty history by day", 3, at_most=True),
    Bar(9, "a process's memory, in MB", "memory", None, 150, at_most=True),
    Bar(10, "the Python client, concurrent callers in batches / one request each", "client batched", "client single", 5),
    Bar(10, "local decisions a second of a lease", "client lease", None, 200_000),
)
"""Where FastAPI is named, its own handler runs the same function and use case. Of a lone client's latency, the twentieth is noise."""


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
        bound = f"{'at most' if self.bar.at_most else 'at least'} {self.bar.bound:,.2f}"
        verdict = "ok" if self.ok else "within a tenth" if self.nearly else "FAILED"
        return f"bar {self.bar.number}: {self.bar.title} {self.ratio:,.2f} ({bound}) {verdict}"


def reached(rounds: Sequence[Mapping[str, float]]) -> list[Reached]:
    """Every bar, by the ratios of each round."""
    return [Reached(bar, [one[bar.contestant] / (one[bar.baseline] if bar.baseline else 1) for one in rounds]) for bar in BARS]
