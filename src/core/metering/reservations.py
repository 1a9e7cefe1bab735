"""Reservations: usage set aside until the work is done, given up, or its time is over."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from core.errors import DomainError, NotFoundError
from core.metering.repository import Repository

TTL_DEFAULT: Final = timedelta(seconds=300)
TTL_MAX: Final = timedelta(seconds=86_400)


class ReservationKey(NamedTuple):
    """A customer's own reservation."""

    customer_id: str
    id: UUID


class ReservationState(StrEnum):
    """A reservation's life. `committed` and `released` are final; an expired one can still be committed, late."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


class ReservationNotFound(NotFoundError):
    """The customer has no reservation with this id."""

    noun = "reservation"


class ReservationNotHeld(DomainError):
    """The reservation was committed or released before; or, where that matters, has expired."""

    def __init__(self, id: UUID, state: ReservationState) -> None:
        super().__init__(id, state)
        self.id, self.state = id, state
        self.message = f"Reservation {id} is already {state.value}."

    def facts(self) -> Mapping[str, object]:
        return {"reservation_id": str(self.id), "state": self.state.value}


@dataclass(frozen=True, slots=True)
class Reservation:
    """Quantities by feature, in smallest parts: `usage` as asked for, `held` what is still set aside of it.

    `state` is what was decided last; time alone turns held into expired, so ask `state_at`.
    """

    id: UUID
    customer_id: str
    usage: Mapping[str, int]
    held: Mapping[str, int]
    created_at: datetime
    expires_at: datetime
    reference: str | None = None
    state: ReservationState = ReservationState.HELD
    finished_at: datetime | None = None
    actual: Mapping[str, int] | None = None
    late: bool = False

    def state_at(self, now: datetime) -> ReservationState:
        expired = self.state is ReservationState.HELD and now >= self.expires_at
        return ReservationState.EXPIRED if expired else self.state

    def held_at(self, feature: str, now: datetime) -> int:
        """What the reservation takes from the limit at this moment."""
        return self.held.get(feature, 0) if self.state_at(now) is ReservationState.HELD else 0

    def drawn(self, feature: str, quantity: int) -> "Reservation":
        """After work that used this much: the hold shrinks by it, never below nothing."""
        left = max(self.held.get(feature, 0) - quantity, 0)
        return replace(self, held={**self.held, feature: left})

    def committed(self, actual: Mapping[str, int], now: datetime) -> "Reservation":
        """Raises ReservationNotHeld where it was committed or released before."""
        self._require_open()
        late = self.state_at(now) is ReservationState.EXPIRED
        return replace(self, state=ReservationState.COMMITTED, held={}, actual=dict(actual), finished_at=now, late=late)

    def released(self, now: datetime) -> "Reservation":
        """Releasing again changes nothing. Raises ReservationNotHeld where it was committed before."""
        if self.state is ReservationState.RELEASED:
            return self
        self._require_open()
        return replace(self, state=ReservationState.RELEASED, held={}, finished_at=now)

    def extended(self, ttl: timedelta, now: datetime) -> "Reservation":
        """The hold ends so much after now. Raises ReservationNotHeld where it has ended: what was held may be somebody else's by then."""
        state = self.state_at(now)
        if state is not ReservationState.HELD:
            raise ReservationNotHeld(self.id, state)
        return replace(self, expires_at=now + ttl)

    def _require_open(self) -> None:
        if self.state is not ReservationState.HELD:
            raise ReservationNotHeld(self.id, self.state)


class Reservations(Repository[ReservationKey, Reservation]):
    """Reservations in all their states. Accounts save what they hold and settle; what is held is written with it."""

    def key(self, value: Reservation) -> ReservationKey:
        return ReservationKey(value.customer_id, value.id)


class NoReservations(Reservations):
    """For an account that is only read."""

    async def find(self, keys: Sequence[ReservationKey]) -> Iterable[Reservation]:
        return ()
