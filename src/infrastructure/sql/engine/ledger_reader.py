"""The ledger's listing in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from core.metering.ledger import Breakdown, LedgerQuery, UsageRecord
from core.metering.ports import LedgerReader
from core.plans.periods import BEGINNING, END, Period
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.reader import of_customer
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.ledger import to_record
from infrastructure.sql.engine.rollups import sums_between

NEWEST: Final = """
    SELECT r.*
    FROM (
        SELECT feature FROM usage_counter WHERE customer_id = :customer_id
        AND (CAST(:feature AS text) IS NULL OR feature = :feature)
    ) AS used
    CROSS JOIN LATERAL (
        SELECT * FROM usage_record AS r
        WHERE r.customer_id = :customer_id AND r.feature = used.feature
          AND r.occurred_at >= :since
          AND (CAST(:dimension AS text) IS NULL OR r.dimension = :dimension)
          AND (r.occurred_at, r.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
        ORDER BY r.occurred_at DESC, r.id DESC
        LIMIT :limit
    ) AS r
    ORDER BY r.occurred_at DESC, r.id DESC
    LIMIT :limit
"""
"""Feature by feature, so that every page is read off the index that keeps periods, however long the history is.

Only one condition bounds a page from above: beside a second one, such as `occurred_at < :until`, the scan begins there and walks to the
page, which takes the longer the deeper the page is.
"""

NEWEST_OF_REFERENCE: Final = """
    SELECT * FROM usage_record
    WHERE customer_id = :customer_id AND reference = :reference
      AND (CAST(:feature AS text) IS NULL OR feature = :feature)
      AND occurred_at >= :since
      AND (CAST(:dimension AS text) IS NULL OR dimension = :dimension)
      AND (occurred_at, id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
    ORDER BY occurred_at DESC, id DESC
    LIMIT :limit
"""
"""Off the index of references, which is in the same order."""

_NEWEST: Final = HotStatement(NEWEST)
_NEWEST_OF_REFERENCE: Final = HotStatement(NEWEST_OF_REFERENCE)

_FIRST_ID: Final = UUID(int=0)
_END: Final = (END, UUID(int=2**128 - 1))


_HELD: Final = HotStatement(
    """
    SELECT h.feature, CAST(sum(h.quantity) AS bigint) AS quantity
    FROM usage_hold AS h
    WHERE h.customer_id = :customer_id AND h.feature = ANY(CAST(:features AS text[])) AND h.expires_at > :at
    GROUP BY h.feature
    """
)


class SqlLedgerReader(LedgerReader):
    """Every record has a counter of its feature, since it was booked under that counter's lock."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def newest(self, query: LedgerQuery) -> Sequence[UsageRecord]:
        before_at, before_id = min(query.before or _END, (query.until, _FIRST_ID) if query.until else _END)
        parameters = {
            "customer_id": query.customer_id,
            "feature": query.feature,
            "dimension": query.dimension,
            "reference": query.reference,
            "since": query.since or BEGINNING,
            "before_at": before_at,
            "before_id": before_id,
            "limit": query.limit,
        }

        statement = _NEWEST if query.reference is None else _NEWEST_OF_REFERENCE
        return [to_record(row) for row in await of_customer(self._connections, statement, parameters)]

    async def breakdown(self, customer_id: str, periods: Mapping[str, Period], at: datetime) -> Mapping[str, Breakdown]:
        cuts = {feature: (period.start, period.end) for feature, period in periods.items()}

        async def read(driver: Driver) -> Mapping[str, Breakdown]:
            async with driver.transaction(isolation="repeatable_read", readonly=True):
                shares = await sums_between(driver, customer_id, cuts, by_dimension=True)
                rows = await _HELD.fetch(driver, {"customer_id": customer_id, "features": list(periods), "at": at})
            held = {row["feature"]: row["quantity"] for row in rows}
            return {feature: Breakdown(found, held.get(feature, 0)) for feature, (found,) in shares.items()}

        return await self._connections.ask(read)
