"""The ledger's and the counters' tables, and the statements that keep the two together."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from core.metering.balance import Balance
from core.metering.counters import Counted
from core.metering.journal import Journal
from core.metering.ledger import Cause, CorrectedRecord, EventKey, Origin, RecordKey, UsageRecord
from core.metering.ports import Events
from core.metering.records import Records
from infrastructure.sql.driver.rows import Change, Rows, all_but_key
from infrastructure.sql.driver.schema import digest, metadata
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.alerts import RAISED, names_of, raised_json
from infrastructure.sql.engine.funds import funds_json

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
        text(digest("source", "event_id")),
        unique=True,
        postgresql_where=text("event_id IS NOT NULL"),
    ),
    Index("ix_usage_record_corrects", "customer_id", "corrects", postgresql_where=text("corrects IS NOT NULL")),
    Index("ix_usage_record_reference", "customer_id", "reference", "occurred_at", "id", postgresql_where=text("reference IS NOT NULL")),
)

usage_counter: Final = Table(
    "usage_counter",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("used", BigInteger, nullable=False, server_default=text("0")),
    Column("period_start", DateTime(timezone=True)),
    Column("period_end", DateTime(timezone=True)),
    Column("funds", JSON),
    Column("raised", JSON),
    Column("closed_until", DateTime(timezone=True)),
    PrimaryKeyConstraint("customer_id", "feature"),
)

CLOSED_UNTIL: Final = "closed_until"
"""Until when rollups may have been made: what is booked before has to mark them. Written by whoever makes them, and by nobody else."""

SUM_MAX: Final = 9_000_000_000_000_000_000
"""What larger sums are read as. Nobody uses so much; but a sum that is too large to be read would leave a customer without answers."""

USED: Final = f"""(
    SELECT CAST(least(coalesce(sum(r.quantity), 0), {SUM_MAX}) AS bigint) AS used
    FROM usage_record AS r
    WHERE r.customer_id = wanted.customer_id AND r.feature = wanted.feature
      AND r.occurred_at >= wanted.period_start AND r.occurred_at < wanted.period_end
    OFFSET 0
)"""
"""The ledger's own sum over the customer, the feature and the period of a row `wanted`: what a counter has to show."""

_USED_WITHIN: Final = HotStatement(
    f"""
    SELECT wanted.n, ledger.used
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:features AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])
    ) WITH ORDINALITY AS wanted (customer_id, feature, period_start, period_end, n)
    CROSS JOIN LATERAL {USED} AS ledger
    """
)

_SUMMED: Final = HotStatement(
    f"""
    SELECT wanted.n, ledger.used, {RAISED} AS raised
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:features AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])
    ) WITH ORDINALITY AS wanted (customer_id, feature, period_start, period_end, n)
    CROSS JOIN LATERAL {USED} AS ledger
    """
)

_CORRECTED_SELECT: Final = f"""
    SELECT r.*, CAST(least(r.quantity + corrections.quantity, {SUM_MAX}) AS bigint) AS total
    FROM {{wanted}}
    CROSS JOIN LATERAL ({{records}}) AS r
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(c.quantity), 0) AS quantity
        FROM usage_record AS c WHERE c.customer_id = r.customer_id AND c.corrects = r.id
        OFFSET 0
    ) AS corrections
"""

_CORRECTED: Final = HotStatement(
    _CORRECTED_SELECT.format(
        wanted="unnest(CAST(:customer_ids AS text[]), CAST(:ids AS uuid[])) AS wanted (customer_id, id)",
        records="SELECT * FROM usage_record AS r WHERE r.customer_id = wanted.customer_id AND r.id = wanted.id LIMIT 1",
    )
)

BOOKED_FOR: Final = (
    _CORRECTED_SELECT.format(
        wanted="""unnest(
            CAST(:customer_ids AS text[]), CAST(:features AS text[]), CAST(:sources AS text[]), CAST(:references AS text[])
        ) AS wanted (customer_id, feature, source, reference)""",
        records="""
            SELECT * FROM usage_record AS r
            WHERE r.customer_id = wanted.customer_id AND r.reference = wanted.reference
              AND r.feature = wanted.feature AND r.source = wanted.source AND r.corrects IS NULL
            ORDER BY r.occurred_at, r.id
            OFFSET 0
        """,
    )
    + " ORDER BY r.id"
)
"""The inner order is only asked for because one index has it, and without statistics another one would seem as good."""

_BOOKED_FOR: Final = HotStatement(BOOKED_FOR)

_KNOWN_EVENTS: Final = HotStatement(
    f"""
    SELECT wanted.customer_id, wanted.source, wanted.event_id
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:sources AS text[]), CAST(:event_ids AS text[]))
        AS wanted (customer_id, source, event_id)
    CROSS JOIN LATERAL (
        SELECT 1 FROM usage_record AS r
        WHERE r.customer_id = wanted.customer_id AND r.event_id IS NOT NULL
          AND {digest("r.source", "r.event_id")} = {digest("wanted.source", "wanted.event_id")}
        LIMIT 1
    ) AS known
    """
)


def _row(record: UsageRecord) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    id, customer_id, feature, quantity, occurred_at, recorded_at, origin, *rest = record
    return customer_id, id, feature, quantity, occurred_at, recorded_at, *origin, *rest


def to_record(row: Record) -> UsageRecord:
    """A ledger row as the domain knows it."""
    return UsageRecord(
        id=row["id"],
        customer_id=row["customer_id"],
        feature=row["feature"],
        quantity=row["quantity"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        origin=Origin(row["source"], row["recorded_by"], row["reference"]),
        overage=row["overage"],
        corrects=row["corrects"],
        reason=row["reason"],
        event_id=row["event_id"],
        dimension=row["dimension"],
    )


RECORDS: Final = Rows(usage_record, _row, to_record)


def _counter_row(counted: tuple[tuple[str, str], Balance, frozenset[str]]) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    meter, balance, names = counted
    period = balance.period
    raised = raised_json(period.start, period.end, names) if names else None
    return *meter, balance.used, period.start, period.end, funds_json(balance), raised


COUNTERS: Final = Rows[tuple[tuple[str, str], Balance, frozenset[str]]](
    usage_counter,
    _counter_row,
    lambda row: NotImplemented,
    changing=[name for name in all_but_key(usage_counter) if name != CLOSED_UNTIL],
    writing=[column.name for column in usage_counter.columns if column.name != CLOSED_UNTIL],
)


class SqlRecords(Records):
    """Within the transaction of a unit of work. Corrections are written with the accounts that book them."""

    def __init__(self, journal: Journal, driver: Driver) -> None:
        super().__init__(journal)
        self._driver = driver

    async def find(self, keys: Sequence[RecordKey]) -> Iterable[CorrectedRecord]:
        parameters = {"customer_ids": [key.customer_id for key in keys], "ids": [key.id for key in keys]}
        return [CorrectedRecord(to_record(row), row["total"]) for row in await _CORRECTED.fetch(self._driver, parameters)]

    async def find_of(self, causes: Sequence[Cause]) -> Iterable[CorrectedRecord]:
        customer_ids, features, sources, references = zip(*causes, strict=True)
        parameters = {"customer_ids": customer_ids, "features": features, "sources": sources, "references": references}
        return [CorrectedRecord(to_record(row), row["total"]) for row in await _BOOKED_FOR.fetch(self._driver, parameters)]

    def changes(self) -> Iterable[Change]:
        return ()


class SqlEvents(Events):
    """Within the transaction of a unit of work. Events are written with the usage records that the accounts book for them."""

    def __init__(self, journal: Journal, driver: Driver) -> None:
        super().__init__(journal)
        self._driver = driver

    async def find(self, keys: Sequence[EventKey]) -> Iterable[EventKey]:
        parameters = {
            "customer_ids": [key.customer_id for key in keys],
            "sources": [key.source for key in keys],
            "event_ids": [key.event_id for key in keys],
        }
        return [EventKey(*row) for row in await _KNOWN_EVENTS.fetch(self._driver, parameters)]

    def changes(self) -> Iterable[Change]:
        return ()


async def summed(driver: Driver, wanted: Sequence[Counted]) -> dict[Counted, tuple[int, frozenset[str]]]:
    """As `used_within`, with the names of what was raised in each of these periods: all that a counter is rebuilt from."""
    rows = await _SUMMED.fetch(driver, _of(wanted))
    return {wanted[row["n"] - 1]: (row["used"], names_of(row["raised"])) for row in rows}


async def used_within(driver: Driver, wanted: Sequence[Counted]) -> dict[Counted, int]:
    """The ledger's own sums over these meters and periods: what their counters have to show."""
    if not wanted:
        return {}
    return {wanted[row["n"] - 1]: row["used"] for row in await _USED_WITHIN.fetch(driver, _of(wanted))}


def _of(wanted: Sequence[Counted]) -> dict[str, list[Any]]:
    return {
        "customer_ids": [meter.customer_id for meter, _ in wanted],
        "features": [meter.feature for meter, _ in wanted],
        "starts": [period.start for _, period in wanted],
        "ends": [period.end for _, period in wanted],
    }


async def append(driver: Driver, records: Iterable[UsageRecord]) -> None:
    """Adds the records by COPY: for many of them, when their counters are still to come."""
    await driver.copy_records_to_table(usage_record.name, columns=usage_record.columns.keys(), records=map(_row, records))
