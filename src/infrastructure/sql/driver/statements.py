"""The few statements that every decision runs, sent by the driver itself.

SQLAlchemy takes about five times as long to carry a statement to asyncpg and its rows back as asyncpg takes alone. On the way of
every request that is worth a shortcut; everywhere else it is not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from asyncpg import Connection, Record
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection

Driver: TypeAlias = "Connection[Record]"


class HotStatement:
    """SQL with `:named` parameters, translated once; asyncpg prepares it once a connection."""

    __slots__ = ("_names", "_sql")

    def __init__(self, sql: str) -> None:
        compiled = text(sql).compile(dialect=dialect())  # type: ignore[no-untyped-call]
        self._sql = str(compiled)
        self._names: Sequence[str] = compiled.positiontup or ()

    async def fetch(self, driver: Driver, parameters: Mapping[str, Any]) -> list[Record]:
        """The rows. Errors are the driver's; `storage_errors` knows them."""
        return await driver.fetch(self._sql, *[parameters[name] for name in self._names])


async def driver_of(connection: AsyncConnection) -> Driver:
    """The driver's connection behind SQLAlchemy's, in the same transaction or the lack of one."""
    driver: Driver = (await connection.get_raw_connection()).driver_connection  # type: ignore[assignment]
    return driver
