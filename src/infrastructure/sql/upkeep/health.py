"""Whether the database answers."""

import asyncio
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import SchemaNewer
from infrastructure.sql.driver.errors import storage_errors

ANSWER_SECONDS_MAX: Final = 3

_PING: Final = text("SELECT 1 FROM usage_counter LIMIT 1")


class SqlHealth:
    """Asks the database for an answer over a connection of the pool."""

    def __init__(self, engine: AsyncEngine, schema_newer: bool = False) -> None:
        self._engine = engine
        self._schema_newer = schema_newer

    async def check(self) -> None:
        """Raises StorageUnavailable where it does not answer, or not in time; SchemaNewer where this release does not know its schema."""
        if self._schema_newer:
            raise SchemaNewer
        with storage_errors():
            async with asyncio.timeout(ANSWER_SECONDS_MAX), self._engine.connect() as connection:
                await connection.execute(_PING)
