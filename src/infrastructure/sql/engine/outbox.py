"""The outbox in PostgreSQL: a row for each event, until it has been handed out."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Column, DateTime, Index, PrimaryKeyConstraint, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from core.events.event import Event
from core.metering.journal import Journal
from core.metering.outbox import Outbox
from infrastructure.sql.driver.rows import Change, Rows
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver

outbox_event: Final = Table(
    "outbox_event",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("customer_id", Text),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("once", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("fanned_out_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("id"),
    Index("ix_outbox_event_waiting", "id", postgresql_where=text("fanned_out_at IS NULL")),
    Index("ix_outbox_event_customer", "customer_id", "created_at"),
    Index("uq_outbox_event_once", "customer_id", "once", unique=True, postgresql_where=text("once IS NOT NULL")),
)


def payload_json(event: Event) -> str:
    """The data as receivers get it: instants in UTC with a Z, numbers exact to 15 significant digits."""
    return json.dumps(event.data, default=_plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case UUID():
            return str(value)
        case _:
            raise TypeError(f"{value!r} cannot be told in an event")


def _row(event: Event) -> tuple[Any, ...]:
    return event.id, event.type, event.customer_id, event.occurred_at, payload_json(event), event.once


def _to_event(row: Record) -> Event:
    return Event(
        id=row["id"],
        type=row["type"],
        customer_id=row["customer_id"],
        occurred_at=row["occurred_at"],
        data=row["payload"],
        once=row["once"],
    )


WRITTEN: Final = ("id", "type", "customer_id", "occurred_at", "payload", "once")
"""What an event brings along; the other columns are the database's, and those of whoever hands the events out."""

EVENTS: Final = Rows(outbox_event, _row, _to_event, writing=WRITTEN)


class SqlOutbox(Outbox):
    """Within the transaction of a unit of work."""

    def __init__(self, journal: Journal, driver: Driver) -> None:
        super().__init__(journal)

    def changes(self) -> Iterable[Change]:
        """What was told before stays as it is, told once."""
        if self.added:
            change = EVENTS.put(self.added)
            yield change._replace(sql=f"{change.sql} ON CONFLICT DO NOTHING")
