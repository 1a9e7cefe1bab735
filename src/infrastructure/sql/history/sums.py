"""Sums over many intervals in PostgreSQL."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from core.history.ports import Sums, UsageSums
from core.metering.ledger import Share
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.ledger import SUM_MAX
from infrastructure.sql.history.granted import granted_between

_FEATURES: Final = HotStatement("SELECT feature FROM usage_counter WHERE customer_id = :customer_id")

_BETWEEN: Final = HotStatement(
    f"""
    SELECT width_bucket(r.occurred_at, CAST(:cuts AS timestamptz[])) AS n,
        CASE WHEN CAST(:by_dimension AS boolean) THEN r.dimension END AS dimension,
        CAST(least(sum(r.quantity), {SUM_MAX}) AS bigint) AS quantity
    FROM usage_record AS r
    WHERE r.customer_id = :customer_id AND r.feature = :feature AND r.occurred_at >= :first AND r.occurred_at < :last
    GROUP BY 1, 2
    """
)


class SqlUsageSums(UsageSums):
    """All sums of one question are read in one transaction, which sees one moment."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def features(self, customer_id: str) -> AbstractSet[str]:
        rows = await self._connections.ask(lambda driver: _FEATURES.fetch(driver, {"customer_id": customer_id}))
        return {row["feature"] for row in rows}

    async def between(
        self, customer_id: str, cuts: Mapping[str, Sequence[datetime]], *, now: datetime, by_dimension: bool = False
    ) -> Mapping[str, Sums]:
        async def read(driver: Driver) -> Mapping[str, Sums]:
            async with driver.transaction(isolation="repeatable_read", readonly=True):
                granted = await granted_between(driver, customer_id, cuts, now)
                found = {}
                for feature, instants in cuts.items():
                    shares = await _between(driver, customer_id, feature, instants, by_dimension=by_dimension)
                    found[feature] = Sums(shares, granted.get(feature, ()))
                return found

        return await self._connections.ask(read)


async def _between(
    driver: Driver, customer_id: str, feature: str, cuts: Sequence[datetime], *, by_dimension: bool
) -> Sequence[Sequence[Share]]:
    parameters = {
        "customer_id": customer_id,
        "feature": feature,
        "cuts": cuts,
        "first": cuts[0],
        "last": cuts[-1],
        "by_dimension": by_dimension,
    }
    shares: list[list[Share]] = [[] for _ in cuts[1:]]
    for row in await _BETWEEN.fetch(driver, parameters):
        shares[row["n"] - 1].append(Share(row["dimension"], row["quantity"]))
    return shares
