"""What the service is doing: rates of the last minute, from the same counters that Prometheus reads."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from prometheus_client import CollectorRegistry

LOOKED_BACK: Final = timedelta(seconds=60)
_DONE: Final = "done"
_REPLAYED: Final = "replayed"


@dataclass(frozen=True, slots=True)
class Sample:
    """What had been counted by an instant: commands by outcome, and transactions by the bound of their seconds."""

    at: datetime
    outcomes: Mapping[str, float]
    seconds: Mapping[float, float]


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened between two looks. Milliseconds are those of transactions, up to the bound of a bucket; None: there was none."""

    over_seconds: float
    decided: float
    refused: float
    replayed: float
    refusals: Mapping[str, float]
    median_ms: float | None
    p99_ms: float | None


class Measurements:
    """Remembers what it saw at the looks of the last minute; a look costs nothing between them."""

    def __init__(self, registry: Callable[[], CollectorRegistry]) -> None:
        self._registry = registry
        self._samples: deque[Sample] = deque()

    def look(self, now: datetime) -> Rates | None:
        """What happened since the oldest look of the last minute; None at the first one."""
        sample = self._sample(now)
        while self._samples and now - self._samples[0].at > LOOKED_BACK:
            self._samples.popleft()
        before = self._samples[0] if self._samples else None
        self._samples.append(sample)
        if before is None or sample.at <= before.at:
            return None
        return rates(before, sample)

    def _sample(self, now: datetime) -> Sample:
        outcomes: Counter[str] = Counter()
        seconds: Counter[float] = Counter()
        for family in self._registry().collect():
            for found in family.samples:
                if found.name == "tollgate_commands_total":
                    outcomes[found.labels["outcome"]] += found.value  # type: ignore[assignment]
                elif found.name == "tollgate_batch_seconds_bucket":
                    seconds[float(found.labels["le"])] += found.value  # type: ignore[assignment]
        return Sample(now, outcomes, seconds)


def rates(before: Sample, after: Sample) -> Rates:
    """By the second, between two samples. What a process had counted that has ended meanwhile is gone."""
    over = (after.at - before.at).total_seconds()
    outcomes = {name: max(count - before.outcomes.get(name, 0), 0) / over for name, count in after.outcomes.items()}
    seconds = {bound: max(count - before.seconds.get(bound, 0), 0) for bound, count in sorted(after.seconds.items())}
    refusals = {name: rate for name, rate in outcomes.items() if name not in (_DONE, _REPLAYED) and rate > 0}
    return Rates(
        over_seconds=over,
        decided=outcomes.get(_DONE, 0),
        refused=sum(refusals.values()),
        replayed=outcomes.get(_REPLAYED, 0),
        refusals=dict(sorted(refusals.items(), key=lambda item: -item[1])),
        median_ms=quantile(seconds, 0.5),
        p99_ms=quantile(seconds, 0.99),
    )


def quantile(seconds: Mapping[float, float], share: float) -> float | None:
    """In milliseconds, from a histogram of cumulative counts by bound, in ascending order: in proportion within a bucket."""
    total = max(seconds.values(), default=0)
    if not total:
        return None
    wanted = share * total
    for (low, below), (high, up_to) in pairwise([(0.0, 0.0), *seconds.items()]):
        if up_to >= wanted:
            if high == float("inf"):
                return 1_000 * low
            return 1_000 * (low + (high - low) * (wanted - below) / max(up_to - below, 1e-9))
    return None
