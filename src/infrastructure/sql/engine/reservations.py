"""Reservations and the holds that they put on features, in PostgreSQL."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, PrimaryKeyConstraint, Row, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.metering.ports import ReservationReader, Reservations
from core.metering.reservations import Reservation, ReservationNotFound, ReservationState
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.pool import autocommitting
from infrastructure.sql.driver.rows import arrays, insert
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

_FIND: Final = text(
    """
    SELECT r.* FROM unnest(CAST(:customer_ids AS text[]), CAST(:ids AS uuid[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (SELECT * FROM reservation AS r WHERE r.customer_id = wanted.customer_id AND r.id = wanted.id LIMIT 1) AS r
    """
)

_WRITE: Final = text(
    f"""
    {insert(reservation)}
    ON CONFLICT (customer_id, id) DO UPDATE
    SET state = excluded.state, held = excluded.held, actual = excluded.actual, late = excluded.late, finished_at = excluded.finished_at
    """
)

_HOLD: Final = text(f"{insert(usage_hold)} ON CONFLICT (customer_id, feature, reservation_id) DO UPDATE SET quantity = excluded.quantity")

_LET_GO: Final = text(
    """
    DELETE FROM usage_hold AS h
    USING unnest(CAST(:customer_ids AS text[]), CAST(:features AS text[]), CAST(:ids AS uuid[])) AS gone (customer_id, feature, id)
    WHERE h.customer_id = gone.customer_id AND h.feature = gone.feature AND h.reservation_id = gone.id
    """
)


class SqlReservations(Reservations):
    """Within the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, ids: Iterable[tuple[str, UUID]]) -> dict[UUID, Reservation]:
        wanted = list(dict.fromkeys(ids))
        parameters = {"customer_ids": [customer_id for customer_id, _ in wanted], "ids": [id for _, id in wanted]}
        return {row.id: _to_reservation(row) for row in await self._connection.execute(_FIND, parameters)}


class SqlReservationReader(ReservationReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = autocommitting(engine)

    async def get(self, customer_id: str, id: UUID) -> Reservation:
        with storage_errors():
            async with self._engine.connect() as connection:
                found = await SqlReservations(connection).find([(customer_id, id)])
        if id not in found:
            raise ReservationNotFound(str(id))
        return found[id]


async def write(connection: AsyncConnection, reservations: Sequence[Reservation]) -> None:
    """Writes each reservation's last state, and its holds to match: a hold row exists for what is still set aside."""
    last = {(item.customer_id, item.id): item for item in reservations}
    if not last:
        return
    await connection.execute(_WRITE, arrays(reservation, map(_from_reservation, last.values())))
    held = [
        (item.customer_id, feature, item.id, quantity, item.expires_at)
        for item in last.values()
        for feature, quantity in item.held.items()
        if quantity
    ]
    if held:
        await connection.execute(_HOLD, arrays(usage_hold, held))
    gone = [(item, feature) for item in last.values() for feature in item.usage if not item.held.get(feature)]
    if gone:
        parameters = {
            "customer_ids": [item.customer_id for item, _ in gone],
            "features": [feature for _, feature in gone],
            "ids": [item.id for item, _ in gone],
        }
        await connection.execute(_LET_GO, parameters)


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


def _to_reservation(row: Row[Any]) -> Reservation:
    return Reservation(
        row.id,
        row.customer_id,
        row.usage,
        row.held,
        row.created_at,
        row.expires_at,
        row.reference,
        ReservationState(row.state),
        row.finished_at,
        row.actual,
        row.late,
    )
