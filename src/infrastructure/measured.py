"""What a process measures of its use cases, for Prometheus."""

import collections
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, Generic, TypeVar

from prometheus_client import Counter, Histogram

from core.errors import DomainError
from core.metering.balance import LimitExceeded
from core.metering.idempotency import Replay
from core.metering.use_case import Call, UseCase

C = TypeVar("C")
R = TypeVar("R")

COMMANDS: Final = Counter("tollgate_commands", "Commands carried out, by outcome: done, replayed, or the refusal.", ("use_case", "outcome"))
DECISIONS: Final = Counter("tollgate_decisions", "Decisions by feature: done, replayed, or the refusal.", ("feature", "outcome"))
BATCH_SIZE: Final = Histogram(
    "tollgate_batch_size",
    "Commands that shared a transaction.",
    ("use_case",),
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048),
)
BATCH_SECONDS: Final = Histogram(
    "tollgate_batch_seconds",
    "Time that a transaction took.",
    ("use_case",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


class Measured(Generic[C, R]):
    """A use case that counts what it does; a decorator with the use case's own signature."""

    def __init__(self, use_case: UseCase[C, R]) -> None:
        self._use_case = use_case
        self.name = type(use_case).__name__
        self._features_of: Callable[[C], Collection[str]] = getattr(use_case, "features_of", lambda _: ())
        self._size = BATCH_SIZE.labels(self.name)
        self._seconds = BATCH_SECONDS.labels(self.name)

    async def execute(self, calls: Sequence[Call[C]]) -> Sequence[R | Replay | DomainError]:
        started = time.perf_counter()
        outcomes = await self._use_case.execute(calls)
        self._seconds.observe(time.perf_counter() - started)
        self._size.observe(len(calls))
        for kind, count in collections.Counter(map(type, outcomes)).items():
            COMMANDS.labels(self.name, _name(kind)).inc(count)
        for (feature, kind), count in collections.Counter(self._decisions(calls, outcomes)).items():
            DECISIONS.labels(feature, _name(kind)).inc(count)
        return outcomes

    def _decisions(self, calls: Sequence[Call[C]], outcomes: Sequence[R | Replay | DomainError]) -> Iterator[tuple[str, type]]:
        """Only features that are declared have a name here: a caller may name any."""
        for call, outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome, LimitExceeded):
                yield outcome.feature, type(outcome)
            elif isinstance(outcome, DomainError):
                if self._features_of(call.command):
                    yield "other", type(outcome)
            else:
                for feature in set(self._features_of(call.command)):
                    yield feature, type(outcome)


def _name(kind: type) -> str:
    if issubclass(kind, DomainError):
        return kind.__name__
    return "replayed" if kind is Replay else "done"
