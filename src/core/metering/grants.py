"""Grants: quantity on top of the allowance, bought or given away, with an order of burning and perhaps an end."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from core.errors import DomainError, NotFoundError
from core.metering.journal import Journal
from core.metering.meters import Meter
from core.metering.repository import Repository
from core.plans.periods import END, INSTANT, Period

PRIORITY_DEFAULT: Final = 100
PRIORITY_MAX: Final = 1000


Reference = tuple[str, str]
"""A customer's id, and the caller's own name of a grant."""


class GrantKind(StrEnum):
    """Where a grant comes from: left of an earlier period's allowance, given away, or sold."""

    ROLLOVER = "rollover"
    PROMOTIONAL = "promotional"
    PAID = "paid"


class GrantState(StrEnum):
    """Where a grant stands at an instant."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    DEPLETED = "depleted"
    EXPIRED = "expired"
    VOIDED = "voided"


class GrantNotFound(NotFoundError):
    """The customer has no grant with this id."""

    noun = "grant"


class InvalidGrant(DomainError):
    """A grant that could never be used as it is written. `field` says what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field, self.message = field, message

    def facts(self) -> Mapping[str, object]:
        return {"field": self.field}


class GrantReferenceTaken(DomainError):
    """The customer has a grant under this reference already, and it says something else."""

    def __init__(self, reference: str, id: UUID) -> None:
        super().__init__(reference, id)
        self.reference, self.id = reference, id
        self.message = f"Grant {id} has the reference {reference!r} already, and differs: use another reference for another grant."

    def facts(self) -> Mapping[str, object]:
        return {"grant_id": str(self.id), "reference": self.reference}


class GrantEnded(DomainError):
    """A grant was to be voided that has expired: nothing is left of it."""

    def __init__(self, id: UUID, expired_at: datetime) -> None:
        super().__init__(id, expired_at)
        self.id, self.expired_at = id, expired_at
        self.message = f"Grant {id} has expired: there is nothing left to void."

    def facts(self) -> Mapping[str, object]:
        return {"grant_id": str(self.id), "expires_at": self.expired_at}


class GrantKey(NamedTuple):
    """A customer's own grant."""

    customer_id: str
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """So much of one metered feature, in smallest parts, on top of the allowance, from `effective_at` on until `expires_at`.

    `quantity` never changes; what is left of it follows from the entries. Voiding it is the one thing that may happen to it.
    """

    id: UUID
    customer_id: str
    feature: str
    kind: GrantKind
    quantity: int
    priority: int = PRIORITY_DEFAULT
    effective_at: datetime
    expires_at: datetime | None = None
    reference: str | None = None
    reason: str | None = None
    created_at: datetime
    created_by: str | None = None
    voided_at: datetime | None = None
    voided_by: str | None = None
    void_reason: str | None = None

    @property
    def meter(self) -> Meter:
        return Meter(self.customer_id, self.feature)

    @property
    def ends_at(self) -> datetime:
        """From then on nothing burns it: it has expired, or was voided just before. END: never."""
        return min(self.expires_at or END, self.voided_at + INSTANT if self.voided_at else END)

    def active_at(self, instant: datetime) -> bool:
        """Whether usage of that instant may be taken from it, if anything is left."""
        return self.effective_at <= instant < self.ends_at

    def state_at(self, instant: datetime, left: int) -> GrantState:
        """`left` is what is not burnt or trimmed of it."""
        if self.voided_at is not None:
            return GrantState.VOIDED
        if instant < self.effective_at:
            return GrantState.SCHEDULED
        if left == 0:
            return GrantState.DEPLETED
        return GrantState.ACTIVE if instant < self.ends_at else GrantState.EXPIRED


class StandingGrant(NamedTuple):
    """A grant, what is burnt of it, and what is neither burnt nor trimmed: by what is posted."""

    grant: Grant
    burnt: int
    left: int


class EntryKind(StrEnum):
    """What an entry does to a grant: usage takes from it or gives back, the cap of a rollover trims it, a rollover grows or shrinks."""

    BURN = "burn"
    RETURN = "return"
    TRIM = "trim"
    ROLL = "roll"


class GrantEntry(NamedTuple):
    """One entry of a grant's own ledger. Entries are never changed.

    `quantity`, in smallest parts, is above zero of a burn and a return. A trim below zero takes trimming back; a roll is what is
    rolled over more, or less, than was thought at first. `occurred_at` is when it counts, within `period`; `record_id` is the usage
    record that brought it about, where one did.
    """

    id: UUID
    customer_id: str
    grant_id: UUID
    feature: str
    kind: EntryKind
    quantity: int
    occurred_at: datetime
    period: Period
    record_id: UUID | None
    recorded_at: datetime

    @property
    def change(self) -> int:
        """What it adds to what is left of the grant."""
        return self.quantity if self.kind in (EntryKind.RETURN, EntryKind.ROLL) else -self.quantity


class Grants(Repository[GrantKey, Grant]):
    """Grants inside a unit of work, by id or by the caller's own reference. Whoever saves one has its meter's counter locked."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._referred: dict[Reference, GrantKey | None] = {}

    def key(self, value: Grant) -> GrantKey:
        return GrantKey(value.customer_id, value.id)

    @abstractmethod
    async def find_referred(self, references: Sequence[Reference]) -> Iterable[Grant]:
        """Those that exist under these references."""

    async def load_referred(self, references: Iterable[Reference]) -> None:
        """Reads those of these that are not known yet, so that `referred` can answer."""
        unknown = [reference for reference in dict.fromkeys(references) if reference not in self._referred]
        if unknown:
            self._referred.update(dict.fromkeys(unknown))
            for grant in await self.find_referred(unknown):
                self._known.setdefault(self.key(grant), grant)
                self._referred[grant.customer_id, grant.reference or ""] = self.key(grant)

    def referred(self, customer_id: str, reference: str) -> Grant | None:
        """The grant under the reference, as it was last saved or else loaded. KeyError where it was never loaded: that is a mistake."""
        key = self._referred[customer_id, reference]
        return None if key is None else self.get(key)

    def save(self, value: Grant) -> None:
        super().save(value)
        if value.reference is not None:
            self._journal.put(self._referred, (value.customer_id, value.reference), self.key(value))


class NoGrants(Grants):
    """For an account that is only read."""

    async def find(self, keys: Sequence[GrantKey]) -> Iterable[Grant]:
        return ()

    async def find_referred(self, references: Sequence[Reference]) -> Iterable[Grant]:
        return ()
