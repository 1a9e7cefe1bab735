"""Finds drift in PostgreSQL. Each question is one statement, and so sees one moment: counters, ledger and products as committed."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.plans.periods import Period
from core.reconciliation.drift import Drift, DriftReader, MissingUsage
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.engine.ledger import SUM_MAX, USED
from infrastructure.sql.products import conversations, learning, operations, sessions

EVIDENCE: Final = (sessions.EVIDENCE, learning.EVIDENCE, operations.EVIDENCE, conversations.EVIDENCE)
"""What each product's own tables show of usage: customer, feature, source, reference, quantity, instant and dimension."""

_CUSTOMERS: Final = text(
    'SELECT customer_id FROM customer WHERE customer_id COLLATE "C" > :after ORDER BY customer_id COLLATE "C" LIMIT :limit'
)
_COUNT: Final = text("SELECT count(*) FROM customer")

_COUNTERS: Final = text(
    f"""
    SELECT wanted.customer_id, wanted.feature, wanted.used, wanted.period_start, wanted.period_end, ledger.used AS expected
    FROM usage_counter AS wanted
    CROSS JOIN LATERAL {USED} AS ledger
    WHERE wanted.customer_id = ANY(CAST(:customer_ids AS text[])) AND wanted.period_start IS NOT NULL AND wanted.used <> ledger.used
    """
)

_MISSING: Final = text(
    f"""
    SELECT shown.customer_id, shown.feature, shown.source, shown.reference, shown.occurred_at, shown.dimension,
        shown.quantity - coalesce(ledger.quantity, 0) AS quantity
    FROM ({" UNION ALL ".join(EVIDENCE)}) AS shown
    LEFT JOIN (
        SELECT customer_id, feature, source, reference, CAST(least(sum(quantity), {SUM_MAX}) AS bigint) AS quantity
        FROM usage_record
        WHERE customer_id = ANY(CAST(:customer_ids AS text[])) AND reference IS NOT NULL
        GROUP BY customer_id, feature, source, reference
    ) AS ledger USING (customer_id, feature, source, reference)
    WHERE shown.customer_id = ANY(CAST(:customer_ids AS text[])) AND shown.quantity <> coalesce(ledger.quantity, 0)
    ORDER BY shown.customer_id, shown.occurred_at
    """
)


class SqlDriftReader(DriftReader):
    """Over a connection, within its transaction, or over the pool, each question in a transaction of its own."""

    def __init__(self, source: AsyncConnection | AsyncEngine) -> None:
        self._source = source

    async def customers(self, after: str, limit: int) -> Sequence[str]:
        return [row.customer_id for row in await self._ask(_CUSTOMERS, {"after": after, "limit": limit})]

    async def count(self) -> int:
        return int((await self._ask(_COUNT, {}))[0][0])

    async def counters(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        return [
            Drift(row.customer_id, row.feature, Period(row.period_start, row.period_end), "counter", row.used, row.expected)
            for row in await self._ask(_COUNTERS, {"customer_ids": list(customer_ids)})
        ]

    async def missing(self, customer_ids: Sequence[str]) -> Sequence[MissingUsage]:
        return [
            MissingUsage(row.customer_id, row.feature, row.source, row.reference, row.quantity, row.occurred_at, row.dimension)
            for row in await self._ask(_MISSING, {"customer_ids": list(customer_ids)})
        ]

    async def _ask(self, question: TextClause, parameters: dict[str, object]) -> Sequence[Row[Any]]:
        if isinstance(self._source, AsyncConnection):
            return (await self._source.execute(question, parameters)).all()
        with storage_errors():
            async with self._source.connect() as connection:
                return (await connection.execute(question, parameters)).all()
