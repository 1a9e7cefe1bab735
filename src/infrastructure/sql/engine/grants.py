"""Grants and their entries in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from asyncpg import Record
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, PrimaryKeyConstraint, Table, Text, Uuid, text

from core.metering.grants import (
    EntryKind,
    Grant,
    GrantEntry,
    GrantKey,
    GrantKind,
    GrantNotFound,
    Grants,
    GrantState,
    Reference,
    StandingGrant,
)
from core.metering.ports import GrantReader
from core.metering.reader import Position
from core.plans.periods import END, Period
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.reader import of_customer, of_known
from infrastructure.sql.driver.repository import SqlRepository
from infrastructure.sql.driver.rows import Rows, all_but_key
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import HotStatement

usage_grant: Final = Table(
    "usage_grant",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("feature", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("effective_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("reference", Text),
    Column("reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text),
    Column("voided_at", DateTime(timezone=True)),
    Column("voided_by", Text),
    Column("void_reason", Text),
    PrimaryKeyConstraint("customer_id", "id"),
    Index("ix_usage_grant_feature", "customer_id", "feature"),
    Index("ix_usage_grant_expires_at", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    Index("uq_usage_grant_reference", "customer_id", "reference", unique=True, postgresql_where=text("reference IS NOT NULL")),
)

grant_entry: Final = Table(
    "grant_entry",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("grant_id", Uuid, nullable=False),
    Column("feature", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("period_start", DateTime(timezone=True), nullable=False),
    Column("period_end", DateTime(timezone=True), nullable=False),
    Column("record_id", Uuid),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
    Index("ix_grant_entry_grant", "customer_id", "grant_id", "occurred_at", "id", postgresql_include=["kind", "quantity"]),
)


def _from_grant(grant: Grant) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        grant.customer_id,
        grant.id,
        grant.feature,
        grant.kind.value,
        grant.quantity,
        grant.priority,
        grant.effective_at,
        grant.expires_at,
        grant.reference,
        grant.reason,
        grant.created_at,
        grant.created_by,
        grant.voided_at,
        grant.voided_by,
        grant.void_reason,
    )


def to_grant(row: Record) -> Grant:
    """A grant's row as the domain knows it."""
    return Grant(
        id=row["id"],
        customer_id=row["customer_id"],
        feature=row["feature"],
        kind=GrantKind(row["kind"]),
        quantity=row["quantity"],
        priority=row["priority"],
        effective_at=row["effective_at"],
        expires_at=row["expires_at"],
        reference=row["reference"],
        reason=row["reason"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        voided_at=row["voided_at"],
        voided_by=row["voided_by"],
        void_reason=row["void_reason"],
    )


def _from_entry(entry: GrantEntry) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    customer_id, id = entry.customer_id, entry.id
    return (
        customer_id,
        id,
        entry.grant_id,
        entry.feature,
        entry.kind.value,
        entry.quantity,
        entry.occurred_at,
        entry.period.start,
        entry.period.end,
        entry.record_id,
        entry.recorded_at,
    )


def to_entry(row: Record) -> GrantEntry:
    """An entry's row as the domain knows it."""
    return GrantEntry(
        id=row["id"],
        customer_id=row["customer_id"],
        grant_id=row["grant_id"],
        feature=row["feature"],
        kind=EntryKind(row["kind"]),
        quantity=row["quantity"],
        occurred_at=row["occurred_at"],
        period=Period(row["period_start"], row["period_end"]),
        record_id=row["record_id"],
        recorded_at=row["recorded_at"],
    )


GRANTS: Final = Rows(usage_grant, _from_grant, to_grant, changing=all_but_key(usage_grant))
ENTRIES: Final = Rows(grant_entry, _from_entry, to_entry)


_REFERRED: Final = HotStatement(
    """
    SELECT found.*
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:named AS text[])) AS wanted (customer_id, reference)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_grant AS g WHERE g.customer_id = wanted.customer_id AND g.reference = wanted.reference LIMIT 1
    ) AS found
    """
)


class SqlGrants(SqlRepository[GrantKey, Grant], Grants):
    """Within the transaction of a unit of work. Entries are written with the accounts that post them."""

    rows = GRANTS

    async def find_referred(self, references: Sequence[Reference]) -> Iterable[Grant]:
        customer_ids, named = zip(*references, strict=True)
        return [to_grant(row) for row in await _REFERRED.fetch(self._driver, {"customer_ids": customer_ids, "named": named})]


_LEFT: Final = """
    CROSS JOIN LATERAL (
        SELECT
            CAST(coalesce(sum(CASE e.kind WHEN 'burn' THEN e.quantity WHEN 'return' THEN -e.quantity ELSE 0 END), 0) AS bigint) AS burnt,
            CAST(g.quantity + coalesce(sum(CASE WHEN e.kind IN ('return', 'roll') THEN e.quantity ELSE -e.quantity END), 0) AS bigint)
                AS left_over
        FROM grant_entry AS e WHERE e.customer_id = g.customer_id AND e.grant_id = g.id
    ) AS standing
"""

_ONE: Final = HotStatement(f"SELECT g.*, standing.* FROM usage_grant AS g {_LEFT} WHERE g.customer_id = :customer_id AND g.id = :id")

_PAGE: Final = HotStatement(
    f"""
    SELECT g.*, standing.* FROM usage_grant AS g {_LEFT}
    WHERE g.customer_id = :customer_id AND (CAST(:feature AS text) IS NULL OR g.feature = :feature)
      AND (CAST(:state AS text) IS NULL OR :state = CASE
          WHEN g.voided_at IS NOT NULL THEN 'voided'
          WHEN g.effective_at > CAST(:at AS timestamptz) THEN 'scheduled'
          WHEN standing.left_over = 0 THEN 'depleted'
          WHEN g.expires_at <= CAST(:at AS timestamptz) THEN 'expired'
          ELSE 'active'
      END)
      AND (g.created_at, g.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
    ORDER BY g.created_at DESC, g.id DESC
    LIMIT :limit
    """
)

_ENTRIES: Final = HotStatement(
    """
    SELECT * FROM grant_entry
    WHERE customer_id = :customer_id AND grant_id = :id
      AND (occurred_at, id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
    ORDER BY occurred_at DESC, id DESC
    LIMIT :limit
    """
)

_LAST: Final = (END, UUID(int=2**128 - 1))


class SqlGrantReader(GrantReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def get(self, key: GrantKey) -> StandingGrant:
        rows = await of_known(
            self._connections, key.customer_id, lambda driver: _ONE.fetch(driver, {"customer_id": key.customer_id, "id": key.id})
        )
        if not rows:
            raise GrantNotFound(str(key.id))
        return _standing(rows[0])

    async def newest(
        self, customer_id: str, limit: int, before: Position | None, *, feature: str | None, state: GrantState | None, at: datetime
    ) -> Sequence[StandingGrant]:
        before_at, before_id = before or _LAST
        parameters = {
            "customer_id": customer_id,
            "feature": feature,
            "state": state and state.value,
            "at": at,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit,
        }
        return [_standing(row) for row in await of_customer(self._connections, _PAGE, parameters)]

    async def entries(self, key: GrantKey, limit: int, before: Position | None) -> Sequence[GrantEntry]:
        before_at, before_id = before or _LAST
        parameters = {"customer_id": key.customer_id, "id": key.id, "before_at": before_at, "before_id": before_id, "limit": limit}
        return [
            to_entry(row) for row in await of_known(self._connections, key.customer_id, lambda driver: _ENTRIES.fetch(driver, parameters))
        ]


def _standing(row: Record) -> StandingGrant:
    return StandingGrant(to_grant(row), row["burnt"], row["left_over"])
