"""What was raised, in PostgreSQL: a row for each alert, and what a counter carries of those of its period."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from asyncpg import Record
from sqlalchemy import BigInteger, Column, DateTime, Index, PrimaryKeyConstraint, Table, Text, Uuid, text

from core.metering.alerts import OVERAGE, Alert
from core.metering.ports import AlertReader
from core.metering.reader import Position
from core.plans.periods import END, Period
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.reader import of_customer
from infrastructure.sql.driver.rows import Rows
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import HotStatement

usage_alert: Final = Table(
    "usage_alert",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("period_start", DateTime(timezone=True), nullable=False),
    Column("period_end", DateTime(timezone=True), nullable=False),
    Column("name", Text, nullable=False),
    Column("raised_at", DateTime(timezone=True), nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("usage_limit", BigInteger),
    Column("event_id", Uuid, nullable=False),
    PrimaryKeyConstraint("customer_id", "feature", "period_start", "period_end", "name"),
    Index("ix_usage_alert_newest", "customer_id", text("raised_at DESC"), text("event_id DESC")),
)

RAISED: Final = """(
    SELECT CAST(json_agg(a.name ORDER BY a.name) AS text)
    FROM usage_alert AS a
    WHERE a.customer_id = wanted.customer_id AND a.feature = wanted.feature
      AND a.period_start = wanted.period_start AND a.period_end = wanted.period_end
)"""
"""The names of what was raised for the customer, the feature and the period of a row `wanted`; null: nothing was."""


def _row(alert: Alert) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        alert.customer_id,
        alert.feature,
        alert.period.start,
        alert.period.end,
        alert.name,
        alert.raised_at,
        alert.used,
        alert.limit,
        alert.event_id,
    )


def _to_alert(row: Record) -> Alert:
    return Alert(
        customer_id=row["customer_id"],
        feature=row["feature"],
        period=Period(row["period_start"], row["period_end"]),
        name=row["name"],
        raised_at=row["raised_at"],
        used=row["used"],
        limit=row["usage_limit"],
        event_id=row["event_id"],
    )


ALERTS: Final = Rows(usage_alert, _row, _to_alert)


def names_of(told: str | None) -> frozenset[str]:
    """What `RAISED` answered."""
    return frozenset[str]() if told is None else frozenset(json.loads(told))


@lru_cache(maxsize=20_000)
def raised_json(start: datetime, end: datetime, names: frozenset[str]) -> str:
    """As a counter carries it, with the period that it is about: who knows nothing of alerts may have moved the counter since."""
    return json.dumps({"start": start.isoformat(), "end": end.isoformat(), "raised": sorted(names)}, separators=(",", ":"))


@lru_cache(maxsize=20_000)
def raised_in(stored: str, start: datetime, end: datetime) -> frozenset[str] | None:
    """The names of what was raised in the period; None where what is stored is about another one."""
    kept = json.loads(stored)
    same = (datetime.fromisoformat(kept["start"]), datetime.fromisoformat(kept["end"])) == (start, end)
    return frozenset(kept["raised"]) if same else None


_PAGE: Final = HotStatement(
    """
    SELECT * FROM usage_alert
    WHERE customer_id = :customer_id AND name <> :overage AND (CAST(:feature AS text) IS NULL OR feature = :feature)
      AND (raised_at, event_id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
    ORDER BY raised_at DESC, event_id DESC
    LIMIT :limit
    """
)

_LAST: Final = (END, UUID(int=2**128 - 1))


class SqlAlertReader(AlertReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def newest(self, customer_id: str, limit: int, before: Position | None, *, feature: str | None) -> Sequence[Alert]:
        before_at, before_id = before or _LAST
        parameters = {
            "customer_id": customer_id,
            "overage": OVERAGE,
            "feature": feature,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit,
        }
        return [_to_alert(row) for row in await of_customer(self._connections, _PAGE, parameters)]
