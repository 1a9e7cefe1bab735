"""Reservations and the holds that they put on features, in PostgreSQL."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from asyncpg import Record
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, PrimaryKeyConstraint, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from core.metering.ports import ReservationReader
from core.metering.reader import Position
from core.metering.reservations import Reservation, ReservationKey, Reservations, ReservationState
from infrastructure.sql.driver.reader import SqlReader
from infrastructure.sql.driver.repository import SqlRepository
from infrastructure.sql.driver.rows import Change, Rows, all_but_key
from infrastructure.sql.driver.schema import metadata

reservation: Final = Table(
    "reservation",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("usage", JSONB, nullable=False),
    Column("held", JSONB, nullable=False),
    Column("actual", JSONB),
    Column("late", Boolean, nullable=False),
    Column("reference", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("customer_id", "id"),
    Index("ix_reservation_newest", "customer_id", "state", text("created_at DESC"), text("id DESC")),
)

usage_hold: Final = Table(
    "usage_hold",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("reservation_id", Uuid, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("customer_id", "feature", "reservation_id"),
    Index("ix_usage_hold_expires_at", "expires_at"),
)


def _from_reservation(item: Reservation) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        item.customer_id,
        item.id,
        item.state.value,
        json.dumps(dict(item.usage)),
        json.dumps(dict(item.held)),
        None if item.actual is None else json.dumps(dict(item.actual)),
        item.late,
        item.reference,
        item.created_at,
        item.expires_at,
        item.finished_at,
    )


def _to_reservation(row: Record) -> Reservation:
    return Reservation(
        id=row["id"],
        customer_id=row["customer_id"],
        usage=row["usage"],
        held=row["held"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        reference=row["reference"],
        state=ReservationState(row["state"]),
        finished_at=row["finished_at"],
        actual=row["actual"],
        late=row["late"],
    )


RESERVATIONS: Final = Rows(reservation, _from_reservation, _to_reservation, changing=all_but_key(reservation))
HOLDS: Final = Rows[tuple[Any, ...]](usage_hold, tuple, tuple, changing=all_but_key(usage_hold))


class SqlReservations(SqlRepository[ReservationKey, Reservation], Reservations):
    """Within the transaction of a unit of work. A hold row exists for what is still set aside."""

    rows = RESERVATIONS

    def changes(self) -> Iterable[Change]:
        yield from super().changes()
        held, gone = [], []
        for item in self.saved():
            for feature in item.usage:
                if quantity := item.held.get(feature):
                    held.append((item.customer_id, feature, item.id, quantity, item.expires_at))
                else:
                    gone.append((item.customer_id, feature, item.id))
        if held:
            yield HOLDS.put(held)
        if gone:
            yield HOLDS.remove(gone)


_STORED: Final = tuple(state.value for state in ReservationState if state is not ReservationState.EXPIRED)
"""Nobody writes down that a reservation has expired: it is what is held after its time."""

_IN_TIME: Final = {
    ReservationState.HELD: "expires_at > CAST(:at AS timestamptz)",
    ReservationState.EXPIRED: "expires_at <= CAST(:at AS timestamptz)",
}


class SqlReservationReader(SqlReader[ReservationKey, Reservation], ReservationReader):
    """Each method is one statement, and so a transaction of its own."""

    rows = RESERVATIONS

    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[Reservation]:
        return await self._page_of("state", _STORED, customer_id, limit, before)

    async def newest_in(
        self, customer_id: str, limit: int, before: Position | None, *, state: ReservationState, at: datetime
    ) -> Sequence[Reservation]:
        if state not in _IN_TIME:
            return await self._page_of("state", [state.value], customer_id, limit, before)
        return await self._page_of("state", [ReservationState.HELD.value], customer_id, limit, before, _IN_TIME[state], at=at)
