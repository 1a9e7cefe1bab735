"""Drift: a sum that is not what it should be, and how it is found."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from core.metering.ledger import Cause
from core.metering.meters import Meter
from core.metering.repository import Repository
from core.plans.periods import Period


@dataclass(frozen=True, slots=True)
class Drift:
    """A sum that is not what it should be. Quantities in smallest parts.

    `where` is "counter" where the counter differs from the ledger, "ledger" where the ledger differs from the product's records,
    "rollup" where a sum that histories are read from differs from the ledger, in all or for a dimension, and "grants" where what is
    posted of grants differs from what the ledger says they paid for: the sums are what they paid in the period.
    """

    customer_id: str
    feature: str
    period: Period
    where: str
    recorded: int
    expected: int

    @property
    def difference(self) -> int:
        return self.expected - self.recorded


@dataclass(frozen=True, slots=True)
class MissingUsage:
    """Usage that a product's record shows and the ledger does not, and when it occurred.

    `quantity` is negative where the ledger has too much: it has it at `occurred_at`. What somebody has given back of it already is not
    too much any more.
    """

    customer_id: str
    feature: str
    source: str
    reference: str
    quantity: int
    occurred_at: datetime
    dimension: str | None = None

    @property
    def cause(self) -> Cause:
        """What the usage was, or is to be, booked for."""
        return Cause(self.customer_id, self.feature, self.source, self.reference)


@dataclass(frozen=True, slots=True)
class MissingOfMeter:
    """What the ledger lacks of one meter, in the order in which it occurred."""

    meter: Meter
    items: Sequence[MissingUsage]

    def made_up_for(self) -> "MissingOfMeter":
        """Once it is booked."""
        return replace(self, items=())


class Missing(Repository[Meter, MissingOfMeter]):
    """What the ledger lacks, by meter. What makes up for it is booked by the account, and written with it."""

    def key(self, value: MissingOfMeter) -> Meter:
        return value.meter


class Rollups(ABC):
    """Sums of the ledger that are kept so that a long time is summed quickly."""

    @abstractmethod
    async def mend(self, drift: Sequence[Drift]) -> None:
        """Makes those that drifted anew from the ledger; until that is done they are not read."""


class DriftReader(ABC):
    """Finds what disagrees. Each answer is one consistent view, so that work in progress is never taken for drift."""

    @abstractmethod
    async def customers(self, after: str, limit: int) -> Sequence[str]:
        """The next customers' ids, in order; from the first for an empty `after`."""

    @abstractmethod
    async def count(self) -> int:
        """About how many customers there are."""

    @abstractmethod
    async def counters(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        """The counters that differ from the ledger over their own periods."""

    @abstractmethod
    async def grants(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        """The grants of which something else is posted than a replay of everything says, or is kept with the counter."""

    @abstractmethod
    async def rollups(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        """The rollups that differ from the ledger, and are not known to be stale; each over its own stretch of time."""

    @abstractmethod
    async def missing(self, customer_ids: Sequence[str]) -> Sequence[MissingUsage]:
        """What the ledger lacks of what the products' records show; each customer's in the order in which it occurred."""
