"""When service keys were last used: noted in memory, and written now and then, since no request is to wait for it."""

import asyncio
import logging
import random
from datetime import datetime
from typing import Final
from uuid import UUID

from core.clock import Clock
from core.errors import DomainError
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import HotStatement

EVERY_SECONDS: Final = 60.0

logger = logging.getLogger("tollgate")

_WRITE: Final = HotStatement(
    """
    UPDATE service_key AS k SET last_used_at = used.at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS timestamptz[])) AS used (id, at)
    WHERE k.id = used.id AND (k.last_used_at IS NULL OR k.last_used_at < used.at)
    """
)


class SqlKeyUses:
    """A process's. What was noted in the last minute before a crash is lost."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._noted: dict[UUID, datetime] = {}

    def note(self, id: UUID, at: datetime) -> None:
        """The key was used."""
        self._noted[id] = at

    async def run(self) -> None:
        """Writes for ever, at a random moment of each minute."""
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5) * EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Writes what was noted. Where that fails, it is written the next time."""
        noted, self._noted = self._noted, {}
        if not noted:
            return
        ids = sorted(noted)  # in one order, so that two processes do not wait for each other in a circle
        try:
            await self._connections.ask(lambda driver: _WRITE.fetch(driver, {"ids": ids, "times": [noted[id] for id in ids]}))
        except DomainError as error:
            self._noted = {**noted, **self._noted}
            logger.warning("The last use of service keys was not written: %s", error)
