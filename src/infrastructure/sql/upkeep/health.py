"""Whether the database answers, and can be written to."""

import asyncio
import math
import time
from typing import Final

import asyncpg

from core.errors import SchemaNewer, StorageUnavailable
from infrastructure.sql.driver.connections import PROMPT_SECONDS_MAX, Connections
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.statements import Driver

ANSWER_SECONDS_MAX: Final = 4
FRESH_SECONDS: Final = 1.0
"""So long an answer serves everyone who asks."""

_QUESTION: Final = "SELECT current_setting('transaction_read_only') = 'on', EXISTS (SELECT FROM usage_counter)"


class SqlHealth:
    """A process's, over its own connections, so that it finds out what is wrong with these."""

    def __init__(self, connections: Connections, schema_newer: bool = False) -> None:
        self._connections = connections
        self._schema_newer = schema_newer
        self._asking = asyncio.Lock()
        self._asked_at = -math.inf
        self._away = False

    async def check(self) -> None:
        """Raises StorageUnavailable where it does not answer, or not in time, or only reads; SchemaNewer where its schema is newer."""
        if self._schema_newer:
            raise SchemaNewer
        async with self._asking:
            if not self._is_fresh():
                await self._ask()
        if self._away:
            raise StorageUnavailable

    def _is_fresh(self) -> bool:
        """That it is well is not fresh any more when a request has found otherwise."""
        return time.monotonic() - self._asked_at < FRESH_SECONDS and (self._away or self._connections.outages.ongoing is None)

    async def _ask(self) -> None:
        try:
            with storage_errors():
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    await self._connections.ask(_ask, prompt=True)
            self._away = False
            self._connections.outages.answered()
        except StorageUnavailable as away:
            self._away = True
            self._connections.outages.failed(away.__cause__ or away)
        finally:
            self._asked_at = time.monotonic()


async def _ask(driver: Driver) -> None:
    read_only, _ = (await driver.fetch(_QUESTION, timeout=PROMPT_SECONDS_MAX))[0]
    if read_only:
        raise asyncpg.ReadOnlySQLTransactionError("The database can be read, and not written to.")
