"""The ledger: what was used, when, and on whose word. Entries are never changed; a correction is a further entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from core.errors import DomainError, NotFoundError
from core.metering.meters import Meter

SHARES_MAX: Final = 100
"""How many shares a breakdown shows at most."""

OTHER: Final = "other"


class RecordNotFound(NotFoundError):
    """The customer has no usage record with this id."""

    noun = "usage record"


class InvalidOccurredAt(DomainError):
    """Usage dated further back, or further ahead, than may be booked."""

    def __init__(self, occurred_at: datetime, earliest: datetime, latest: datetime) -> None:
        super().__init__(occurred_at, earliest, latest)
        self.occurred_at, self.earliest, self.latest = occurred_at, earliest, latest
        between = " and ".join(bound.isoformat(timespec="seconds").replace("+00:00", "Z") for bound in (earliest, latest))
        self.message = f"occurred_at must lie between {between}. Enforced usage happens now; only recorded usage may be back-dated."

    def facts(self) -> Mapping[str, object]:
        return {"occurred_at": self.occurred_at, "earliest": self.earliest, "latest": self.latest}


class RecordKey(NamedTuple):
    """A customer's own ledger entry."""

    customer_id: str
    id: UUID


class Origin(NamedTuple):
    """Where a usage record comes from: who said so, through what, about which thing of theirs."""

    source: str
    recorded_by: str | None = None
    reference: str | None = None


class Cause(NamedTuple):
    """What a product's or a caller's thing, such as one session, one conversation or one order, has used of one feature."""

    customer_id: str
    feature: str
    source: str
    reference: str


class UsageRecord(NamedTuple):
    """One ledger entry. `quantity` counts smallest parts, and is negative only in a correction.

    `overage` is the part of it that lay above the limit when it was booked. `dimension` is what the feature's usage can be broken
    down by: the model, the region, the kind of operation.
    """

    id: UUID
    customer_id: str
    feature: str
    quantity: int
    occurred_at: datetime
    recorded_at: datetime
    origin: Origin
    overage: int = 0
    corrects: UUID | None = None
    reason: str | None = None
    event_id: str | None = None
    dimension: str | None = None

    @property
    def meter(self) -> Meter:
        """What it counts towards."""
        return Meter(self.customer_id, self.feature)

    @property
    def cause(self) -> Cause | None:
        """What it was booked for; None where it refers to nothing."""
        source, _, reference = self.origin
        return None if reference is None else Cause(self.customer_id, self.feature, source, reference)


@dataclass(frozen=True, slots=True)
class CorrectedRecord:
    """A record, and what it amounts to with all its corrections."""

    record: UsageRecord
    total: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one dimension contributes to a feature's usage; None stands for usage without one."""

    dimension: str | None
    quantity: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A feature's usage by dimension, and what is held of it: as of one moment, and over one period."""

    shares: Sequence[Share]
    held: int = 0

    @property
    def used(self) -> int:
        return sum(share.quantity for share in self.shares)


def bounded(shares: Sequence[Share], at_most: int = SHARES_MAX) -> list[Share]:
    """The largest shares; where there are more than `at_most`, the smallest are added up as `other`. The total stays the same.

    `other` comes up once, also where usage has been booked under that very name.
    """
    ordered = sorted(shares, key=lambda share: (-share.quantity, share.dimension or ""))
    if len(ordered) <= at_most:
        return ordered
    kept = [share for share in ordered if share.dimension != OTHER][: at_most - 1]
    return [*kept, Share(OTHER, sum(share.quantity for share in ordered) - sum(share.quantity for share in kept))]


class EventKey(NamedTuple):
    """What tells one event from every other: it is booked once, ever."""

    customer_id: str
    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class LedgerQuery:
    """Which entries: those of one customer that occurred within `since <= t < until`, and come after a page's last entry."""

    customer_id: str
    limit: int
    feature: str | None = None
    dimension: str | None = None
    reference: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, UUID] | None = None
