"""Finds drift in PostgreSQL. Each question is one statement, and so sees one moment: counters, ledger and products as committed."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import uuid4

from asyncpg import Record

from core.metering.books import burnt_in, differences
from core.metering.funds import sums
from core.metering.journal import Journal
from core.metering.meters import Meter
from core.plans.periods import Period
from core.reconciliation.drift import Drift, DriftReader, Missing, MissingOfMeter, MissingUsage
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import Change
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.books import read_books
from infrastructure.sql.engine.cover import GRAINS, QUARTER
from infrastructure.sql.engine.funds import to_funds
from infrastructure.sql.engine.ledger import SUM_MAX, USED
from infrastructure.sql.engine.plans import PlanCatalog

_CUSTOMERS: Final = HotStatement(
    'SELECT customer_id FROM customer WHERE customer_id COLLATE "C" > :after ORDER BY customer_id COLLATE "C" LIMIT :limit'
)
_COUNT: Final = HotStatement("SELECT count(*) FROM customer")

_COUNTERS: Final = HotStatement(
    f"""
    SELECT wanted.customer_id, wanted.feature, wanted.used, wanted.period_start, wanted.period_end, ledger.used AS expected
    FROM usage_counter AS wanted
    CROSS JOIN LATERAL {USED} AS ledger
    WHERE wanted.customer_id = ANY(CAST(:customer_ids AS text[])) AND wanted.period_start IS NOT NULL AND wanted.used <> ledger.used
    """
)


_ELSEWHERE: Final = """(
    SELECT max(r.occurred_at) FROM usage_record AS r
    WHERE r.customer_id = shown.customer_id AND r.reference = shown.reference
      AND r.feature = shown.feature AND r.source = shown.source AND r.corrects IS NULL AND r.occurred_at <> shown.occurred_at
      AND r.quantity > (
          SELECT coalesce(-sum(c.quantity), 0) FROM usage_record AS c WHERE c.customer_id = r.customer_id AND c.corrects = r.id
      )
)"""
"""Where the ledger has something left of what was booked for a thing at another instant than the one that is shown."""


_NO_EVIDENCE: Final = """
    SELECT NULL AS customer_id, NULL AS feature, NULL AS source, NULL AS reference, CAST(NULL AS bigint) AS quantity,
        CAST(NULL AS timestamptz) AS occurred_at, CAST(NULL AS text) AS dimension
    WHERE false
"""


def missing_sql(evidence: Sequence[str]) -> HotStatement:
    """What the evidence shows and the ledger does not, for some customers, each customer's in the order in which it occurred.

    Of what the ledger has too much, so much is left out as others have given back by corrections: nobody is to give it back again. A
    product's own corrections, which have the source of what they correct, are part of what the ledger shows.
    """
    return HotStatement(
        f"""
        WITH booked AS (
            SELECT r.customer_id, r.feature, r.source, r.reference,
                CAST(least(sum(r.quantity), {SUM_MAX}) AS bigint) AS quantity,
                CAST(least(greatest(
                    coalesce(sum(r.quantity) FILTER (WHERE r.corrects IS NOT NULL), 0) - coalesce(sum(corrections.quantity), 0), 0
                ), {SUM_MAX}) AS bigint) AS given_back
            FROM usage_record AS r
            LEFT JOIN (
                SELECT customer_id, corrects, sum(quantity) AS quantity
                FROM usage_record
                WHERE customer_id = ANY(CAST(:customer_ids AS text[])) AND corrects IS NOT NULL
                GROUP BY customer_id, corrects
            ) AS corrections ON corrections.customer_id = r.customer_id AND corrections.corrects = r.id
            WHERE r.customer_id = ANY(CAST(:customer_ids AS text[])) AND r.reference IS NOT NULL
            GROUP BY r.customer_id, r.feature, r.source, r.reference
        )
        SELECT * FROM (
            SELECT shown.customer_id, shown.feature, shown.source, shown.reference,
                CASE
                    WHEN booked.quantity > shown.quantity THEN least(shown.quantity - booked.quantity + booked.given_back, 0)
                    ELSE shown.quantity - coalesce(booked.quantity, 0)
                END AS quantity,
                CASE WHEN booked.quantity > shown.quantity THEN coalesce({_ELSEWHERE}, shown.occurred_at) ELSE shown.occurred_at END
                    AS occurred_at,
                shown.dimension
            FROM ({" UNION ALL ".join(evidence) or _NO_EVIDENCE}) AS shown
            LEFT JOIN booked USING (customer_id, feature, source, reference)
            WHERE shown.customer_id = ANY(CAST(:customer_ids AS text[]))
        ) AS missing
        WHERE quantity <> 0
        ORDER BY customer_id, occurred_at
        """
    )


_GRANTED: Final = HotStatement(
    """
    SELECT customer_id, feature, max(funds) AS funds, now() AS now
    FROM (
        SELECT customer_id, feature, CAST(funds AS text) AS funds FROM usage_counter
        WHERE customer_id = ANY(CAST(:customer_ids AS text[])) AND funds IS NOT NULL
        UNION ALL
        SELECT DISTINCT customer_id, feature, CAST(NULL AS text) FROM usage_grant WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
    ) AS granted
    GROUP BY customer_id, feature
    """
)


_ROLLUPS: Final = HotStatement(
    """
    WITH known AS (
        SELECT s.* FROM usage_rollup_state AS s
        JOIN usage_counter AS c ON c.customer_id = s.customer_id AND c.feature = s.feature AND c.closed_until IS NOT NULL
        WHERE s.customer_id = ANY(CAST(:customer_ids AS text[]))
    ), grain AS (
        SELECT seconds, make_interval(secs => seconds) AS length FROM unnest(CAST(:grains AS integer[])) AS wanted (seconds)
    ), quarter AS (
        SELECT r.customer_id, r.feature, coalesce(r.dimension, '') AS dimension, sum(r.quantity) AS quantity,
            date_bin(make_interval(secs => :quarter), r.occurred_at, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS start
        FROM known
        JOIN usage_record AS r
            ON r.customer_id = known.customer_id AND r.feature = known.feature AND r.occurred_at < known.rolled_until
        GROUP BY 1, 2, 3, 5
    ), expected AS (
        SELECT q.customer_id, q.feature, q.dimension, grain.seconds AS grain_seconds, sum(q.quantity) AS quantity,
            date_bin(grain.length, q.start, TIMESTAMPTZ '2000-01-01 00:00:00+00') AS start
        FROM quarter AS q
        CROSS JOIN grain
        GROUP BY 1, 2, 3, 4, 6
    ), compared AS (
        SELECT customer_id, feature, grain_seconds, start, u.quantity AS recorded, expected.quantity AS expected
        FROM expected
        FULL JOIN (
            SELECT * FROM usage_rollup WHERE customer_id = ANY(CAST(:customer_ids AS text[]))
        ) AS u USING (customer_id, feature, grain_seconds, start, dimension)
        WHERE u.quantity IS DISTINCT FROM expected.quantity
    )
    SELECT compared.customer_id, compared.feature, compared.start, compared.start + grain.length AS until,
        CAST(coalesce(sum(recorded), 0) AS bigint) AS recorded, CAST(coalesce(sum(expected), 0) AS bigint) AS expected
    FROM compared
    JOIN known USING (customer_id, feature)
    JOIN grain ON grain.seconds = compared.grain_seconds
    WHERE compared.start + grain.length <= known.rolled_until AND NOT EXISTS (
        SELECT 1 FROM usage_rollup_stale AS s
        WHERE s.customer_id = compared.customer_id AND s.feature = compared.feature
          AND s.start >= compared.start AND s.start < compared.start + grain.length
    )
    GROUP BY compared.customer_id, compared.feature, compared.start, grain.length
    ORDER BY compared.customer_id, compared.feature, compared.start, grain.length
    """
)


class SqlDriftReader(DriftReader):
    """Each question is a transaction of its own."""

    def __init__(self, connections: Connections, catalog: PlanCatalog, evidence: Sequence[str]) -> None:
        self._connections = connections
        self._catalog = catalog
        self._missing = missing_sql(evidence)

    async def customers(self, after: str, limit: int) -> Sequence[str]:
        rows = await self._connections.ask(lambda driver: _CUSTOMERS.fetch(driver, {"after": after, "limit": limit}))
        return [row["customer_id"] for row in rows]

    async def count(self) -> int:
        return int((await self._connections.ask(lambda driver: _COUNT.fetch(driver, {})))[0][0])

    async def counters(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        rows = await self._connections.ask(lambda driver: _COUNTERS.fetch(driver, {"customer_ids": list(customer_ids)}))
        return [
            Drift(
                customer_id=row["customer_id"],
                feature=row["feature"],
                period=Period(row["period_start"], row["period_end"]),
                where="counter",
                recorded=row["used"],
                expected=row["expected"],
            )
            for row in rows
        ]

    async def grants(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        async def compared(driver: Driver) -> list[Drift]:
            await driver.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                rows = await _GRANTED.fetch(driver, {"customer_ids": list(customer_ids)})
                found = [await self._books_of(driver, row) for row in rows]
            finally:
                await driver.execute("ROLLBACK")
            return [drift for drift in found if drift is not None]

        return await self._connections.ask(compared)

    async def _books_of(self, driver: Driver, row: Record) -> Drift | None:
        """As of when somebody looked at the counter last: what the clock has brought about since is nobody's mistake."""
        meter, stored = Meter(row["customer_id"], row["feature"]), to_funds(row["funds"])
        kept = None if stored is None else stored.funds
        now = kept.since if kept else row["now"]
        opened = await read_books(driver, self._catalog, meter, since=None, now=now, agreed_at=now, new_id=uuid4)
        replayed = opened.books.replay(opened.used)
        if kept and sums(kept) == sums(replayed.funds) and not differences(replayed, opened.posted):
            return None
        last = len(opened.books.spans) - 1
        return Drift(
            customer_id=meter.customer_id,
            feature=meter.feature,
            period=opened.books.period,
            where="grants",
            recorded=burnt_in(last, opened.posted),
            expected=burnt_in(last, replayed.postings),
        )

    async def rollups(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        parameters = {
            "customer_ids": list(customer_ids),
            "grains": [int(grain.total_seconds()) for grain in GRAINS],
            "quarter": QUARTER.total_seconds(),
        }
        rows = await self._connections.ask(lambda driver: _ROLLUPS.fetch(driver, parameters))
        return [Drift(id, feature, Period(start, end), "rollup", recorded, due) for id, feature, start, end, recorded, due in rows]

    async def missing(self, customer_ids: Sequence[str]) -> Sequence[MissingUsage]:
        rows = await self._connections.ask(lambda driver: self._missing.fetch(driver, {"customer_ids": list(customer_ids)}))
        return [MissingUsage(**row) for row in rows]


class SqlMissing(Missing):
    """Within the transaction of a unit of work, and so under its locks. What makes up for it is written with the accounts."""

    def __init__(self, missing: HotStatement, journal: Journal, driver: Driver) -> None:
        super().__init__(journal)
        self._missing = missing
        self._driver = driver

    async def find(self, keys: Sequence[Meter]) -> Iterable[MissingOfMeter]:
        found: dict[Meter, list[MissingUsage]] = {meter: [] for meter in keys}
        for row in await self._missing.fetch(self._driver, {"customer_ids": list({meter.customer_id for meter in keys})}):
            meter = Meter(row["customer_id"], row["feature"])
            if meter in found:
                found[meter].append(MissingUsage(**row))
        return [MissingOfMeter(meter, items) for meter, items in found.items()]

    def changes(self) -> Iterable[Change]:
        return ()
