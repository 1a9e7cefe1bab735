"""The ledger's and the counters' tables, and the statements that keep the two together."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from core.metering.balance import Balance
from core.metering.ledger import CorrectedRecord, EventKey, Origin, UsageRecord
from core.metering.ports import Ledger
from core.plans.periods import Period
from infrastructure.sql.driver.rows import arrays, insert
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement

usage_record: Final = Table(
    "usage_record",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("feature", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("source", Text, nullable=False),
    Column("recorded_by", Text),
    Column("reference", Text),
    Column("overage", BigInteger, nullable=False),
    Column("corrects", Uuid),
    Column("reason", Text),
    Column("event_id", Text),
    Column("dimension", Text),
    PrimaryKeyConstraint("customer_id", "id"),
    Index("ix_usage_record_period", "customer_id", "feature", "occurred_at", "id", postgresql_include=["quantity", "dimension"]),
    Index(
        "uq_usage_record_event",
        "customer_id",
        "source",
        "event_id",
        unique=True,
        postgresql_where=text("event_id IS NOT NULL"),
    ),
    Index("ix_usage_record_corrects", "customer_id", "corrects", postgresql_where=text("corrects IS NOT NULL")),
)

usage_counter: Final = Table(
    "usage_counter",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("used", BigInteger, nullable=False, server_default=text("0")),
    Column("period_start", DateTime(timezone=True)),
    Column("period_end", DateTime(timezone=True)),
    PrimaryKeyConstraint("customer_id", "feature"),
)

SUM_MAX: Final = 9_000_000_000_000_000_000
"""What larger sums are read as. Nobody uses so much; but a sum that is too large to be read would leave a customer without answers."""

_COUNTERS: Final = f"""
    {insert(usage_counter)}
    ON CONFLICT (customer_id, feature) DO UPDATE
    SET used = excluded.used, period_start = excluded.period_start, period_end = excluded.period_end
"""
_WRITE_RECORDS_AND_COUNTERS: Final = HotStatement(f"WITH booked AS ({insert(usage_record)}) {_COUNTERS}")
_WRITE_COUNTERS: Final = HotStatement(_COUNTERS)

USED: Final = f"""(
    SELECT CAST(least(coalesce(sum(r.quantity), 0), {SUM_MAX}) AS bigint) AS used
    FROM usage_record AS r
    WHERE r.customer_id = wanted.customer_id AND r.feature = wanted.feature
      AND r.occurred_at >= wanted.period_start AND r.occurred_at < wanted.period_end
    OFFSET 0
)"""
"""The ledger's own sum over the customer, the feature and the period of a row `wanted`: what a counter has to show."""

Counted = tuple[str, str, Period]
"""What one sum is about: a customer's usage of a feature within a period."""

_USED_WITHIN: Final = text(
    f"""
    SELECT wanted.n, ledger.used
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:features AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])
    ) WITH ORDINALITY AS wanted (customer_id, feature, period_start, period_end, n)
    CROSS JOIN LATERAL {USED} AS ledger
    """
)

_FIND: Final = text(
    f"""
    SELECT r.*, CAST(least(r.quantity + corrections.quantity, {SUM_MAX}) AS bigint) AS total
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:ids AS uuid[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (SELECT * FROM usage_record AS r WHERE r.customer_id = wanted.customer_id AND r.id = wanted.id LIMIT 1) AS r
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(c.quantity), 0) AS quantity
        FROM usage_record AS c WHERE c.customer_id = wanted.customer_id AND c.corrects = wanted.id
        OFFSET 0
    ) AS corrections
    """
)

_KNOWN_EVENTS: Final = HotStatement(
    """
    SELECT wanted.customer_id, wanted.source, wanted.event_id
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:sources AS text[]), CAST(:event_ids AS text[]))
        AS wanted (customer_id, source, event_id)
    CROSS JOIN LATERAL (
        SELECT 1 FROM usage_record AS r
        WHERE r.customer_id = wanted.customer_id AND r.source = wanted.source AND r.event_id = wanted.event_id
        LIMIT 1
    ) AS known
    """
)


class SqlLedger(Ledger):
    """Within the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection, driver: Driver) -> None:
        self._connection = connection
        self._driver = driver

    async def find(self, ids: Iterable[tuple[str, UUID]]) -> dict[UUID, CorrectedRecord]:
        wanted = list(dict.fromkeys(ids))
        parameters = {"customer_ids": [customer_id for customer_id, _ in wanted], "ids": [id for _, id in wanted]}
        rows = await self._connection.execute(_FIND, parameters)
        return {row.id: CorrectedRecord(to_record(row), row.total) for row in rows}

    async def known_events(self, events: Iterable[EventKey]) -> set[EventKey]:
        wanted = dict.fromkeys(events)
        if not wanted:
            return set()
        customer_ids, sources, event_ids = zip(*wanted, strict=True)
        parameters = {"customer_ids": customer_ids, "sources": sources, "event_ids": event_ids}
        return {EventKey(*row) for row in await _KNOWN_EVENTS.fetch(self._driver, parameters)}


async def used_within(connection: AsyncConnection, wanted: Sequence[Counted]) -> dict[Counted, int]:
    """The ledger's own sums over these (customer id, feature, period): what their counters have to show."""
    if not wanted:
        return {}
    parameters = {
        "customer_ids": [customer_id for customer_id, _, _ in wanted],
        "features": [feature for _, feature, _ in wanted],
        "starts": [period.start for _, _, period in wanted],
        "ends": [period.end for _, _, period in wanted],
    }
    return {wanted[row.n - 1]: row.used for row in await connection.execute(_USED_WITHIN, parameters)}


async def append(driver: Driver, records: Iterable[UsageRecord]) -> None:
    """Adds the records by COPY: for many of them, when their counters are still to come."""
    await driver.copy_records_to_table(usage_record.name, columns=usage_record.columns.keys(), records=map(_row, records))


async def write(driver: Driver, records: Sequence[UsageRecord], counters: Sequence[tuple[str, Balance]]) -> None:
    """Adds the records, and sets the counters to what these balances show, theirs among them; both in one statement."""
    if not counters:
        assert not records, "every record has a counter"
        return
    parameters = arrays(usage_counter, (_counter(customer_id, balance) for customer_id, balance in counters))
    if records:
        await _WRITE_RECORDS_AND_COUNTERS.fetch(driver, parameters | arrays(usage_record, map(_row, records)))
    else:
        await _WRITE_COUNTERS.fetch(driver, parameters)


def _counter(customer_id: str, balance: Balance) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return customer_id, balance.feature.key, balance.used, balance.period.start, balance.period.end


def _row(record: UsageRecord) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    id, customer_id, feature, quantity, occurred_at, recorded_at, origin, *rest = record
    return customer_id, id, feature, quantity, occurred_at, recorded_at, *origin, *rest


def to_record(row: Row[Any]) -> UsageRecord:
    """A ledger row as the domain knows it."""
    return UsageRecord(
        row.id,
        row.customer_id,
        row.feature,
        row.quantity,
        row.occurred_at,
        row.recorded_at,
        Origin(row.source, row.recorded_by, row.reference),
        row.overage,
        row.corrects,
        row.reason,
        row.event_id,
        row.dimension,
    )
