"""Sums over many intervals in PostgreSQL."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from core.history.ports import Sums, UsageSums
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.rollups import sums_between
from infrastructure.sql.history.granted import granted_between

_FEATURES: Final = HotStatement("SELECT feature FROM usage_counter WHERE customer_id = :customer_id")


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
                shares = await sums_between(driver, customer_id, cuts, by_dimension=by_dimension)
                return {feature: Sums(found, granted.get(feature, ())) for feature, found in shares.items()}

        return await self._connections.ask(read)
