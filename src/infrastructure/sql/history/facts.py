"""What a decision was made of, in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from asyncpg import Record

from core.history.explanation import HOLDS_MAX, LARGEST_MAX, Booked, Burnt, Facts, Held, Holding
from core.history.ports import UsageFacts
from core.metering.grants import GrantKind
from core.plans.periods import INSTANT, Period
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.ledger import SUM_MAX, to_record

_WITHIN: Final = """
    r.customer_id = :customer_id AND r.feature = :feature AND r.occurred_at >= :start AND r.occurred_at < :end
    AND (CAST(:known_at AS timestamptz) IS NULL OR r.recorded_at <= :known_at)
"""

_BOOKED: Final = HotStatement(
    f"""
    SELECT count(*) AS records, CAST(least(coalesce(sum(r.quantity), 0), {SUM_MAX}) AS bigint) AS quantity
    FROM usage_record AS r WHERE {_WITHIN}
    """
)

_CORRECTIONS: Final = HotStatement(
    f"""
    SELECT count(*) AS corrections, CAST(coalesce(sum(r.quantity), 0) AS bigint) AS corrected
    FROM usage_record AS r WHERE {_WITHIN} AND r.corrects IS NOT NULL
    """
)

_LARGEST: Final = HotStatement(
    f"""
    SELECT found.*
    FROM (SELECT r.id FROM usage_record AS r WHERE {_WITHIN} ORDER BY abs(r.quantity) DESC, r.id LIMIT {LARGEST_MAX}) AS largest
    JOIN usage_record AS found ON found.customer_id = :customer_id AND found.id = largest.id
    ORDER BY abs(found.quantity) DESC, found.id
    """
)

_LISTED: Final = f"""
    SELECT hold.*, CAST(sum(hold.quantity) OVER () AS bigint) AS held, count(*) OVER () AS holds, max(hold.expires_at) OVER () AS held_until
    FROM hold ORDER BY hold.quantity DESC, hold.reservation_id LIMIT {HOLDS_MAX}
"""

_HELD_NOW: Final = HotStatement(
    f"""
    WITH hold AS (
        SELECT h.reservation_id, h.quantity, h.expires_at, r.reference
        FROM usage_hold AS h LEFT JOIN reservation AS r ON r.customer_id = h.customer_id AND r.id = h.reservation_id
        WHERE h.customer_id = :customer_id AND h.feature = :feature AND h.expires_at > :at
    )
    {_LISTED}
    """
)

_HELD_THEN: Final = HotStatement(
    f"""
    WITH hold AS (
        SELECT r.id AS reservation_id, r.expires_at, r.reference,
            CAST(CASE WHEN r.state = 'held' THEN r.held ELSE r.usage END ->> :feature AS bigint) AS quantity
        FROM reservation AS r
        WHERE r.customer_id = :customer_id AND r.created_at <= :at AND r.expires_at > :at AND (r.finished_at IS NULL OR r.finished_at > :at)
          AND CAST(CASE WHEN r.state = 'held' THEN r.held ELSE r.usage END ->> :feature AS bigint) > 0
    )
    {_LISTED}
    """
)

_BURNT: Final = HotStatement(
    """
    SELECT g.id, g.kind, g.expires_at, CAST(coalesce(burnt.quantity, 0) AS bigint) AS quantity
    FROM usage_grant AS g
    LEFT JOIN LATERAL (
        SELECT sum(CASE e.kind WHEN 'burn' THEN e.quantity ELSE -e.quantity END) AS quantity
        FROM grant_entry AS e
        WHERE e.customer_id = g.customer_id AND e.grant_id = g.id AND e.kind IN ('burn', 'return')
          AND e.occurred_at >= :start AND e.occurred_at < :end
          AND (CAST(:known_at AS timestamptz) IS NULL OR e.recorded_at <= :known_at)
    ) AS burnt ON true
    WHERE g.customer_id = :customer_id AND g.feature = :feature
    ORDER BY g.id
    """
)


class SqlUsageFacts(UsageFacts):
    """All of one question is read in one transaction, which sees one moment."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def read(self, customer_id: str, periods: Mapping[str, Period], at: datetime, *, as_known_then: bool) -> Mapping[str, Facts]:
        async def read(driver: Driver) -> Mapping[str, Facts]:
            async with driver.transaction(isolation="repeatable_read", readonly=True):
                return {key: await _facts(driver, customer_id, key, period, at, as_known_then) for key, period in periods.items()}

        return await self._connections.ask(read)


async def _facts(driver: Driver, customer_id: str, feature: str, period: Period, at: datetime, as_known_then: bool) -> Facts:
    of: dict[str, Any] = {"customer_id": customer_id, "feature": feature}
    end = min(period.end, at + INSTANT) if as_known_then else period.end
    within = {**of, "start": period.start, "end": end, "known_at": at if as_known_then else None}
    (total,) = await _BOOKED.fetch(driver, within)
    (corrections,) = await _CORRECTIONS.fetch(driver, within)
    largest = [to_record(row) for row in await _LARGEST.fetch(driver, within)]
    held = await (_HELD_THEN if as_known_then else _HELD_NOW).fetch(driver, {**of, "at": at})
    burnt = await _BURNT.fetch(driver, within)
    return Facts(
        Booked(total["records"], corrections["corrections"], total["quantity"], corrections["corrected"], largest),
        _held(held),
        [Burnt(row["id"], GrantKind(row["kind"]), row["expires_at"], row["quantity"]) for row in burnt],
    )


def _held(rows: Sequence[Record]) -> Held:
    if not rows:
        return Held(0, None, 0, ())
    holdings = [Holding(row["reservation_id"], row["quantity"], row["expires_at"], row["reference"]) for row in rows]
    return Held(rows[0]["held"], rows[0]["held_until"], rows[0]["holds"], holdings)
