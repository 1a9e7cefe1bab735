"""What can only be seen by looking now and then: how busy the pool and the event loop are."""

import asyncio
from typing import Final

from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from infrastructure.sql.driver.connections import Connections

EVERY_SECONDS: Final = 1.0

CONNECTIONS: Final = Gauge(
    "tollgate_pool_connections", "Connections to the database: open, and in use.", ("state",), multiprocess_mode="livesum"
)
LOOP_DELAY: Final = Gauge(
    "tollgate_event_loop_delay_seconds",
    "How much too late the last timer of a second came; the worst process.",
    multiprocess_mode="livemax",
)


class VitalSigns:
    """Runs beside the service."""

    def __init__(self, engine: AsyncEngine, connections: Connections) -> None:
        self._engine = engine
        self._connections = connections

    async def run(self) -> None:
        """Looks for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self.look()
            due = loop.time() + EVERY_SECONDS
            await asyncio.sleep(EVERY_SECONDS)
            LOOP_DELAY.set(max(0.0, loop.time() - due))

    def look(self) -> None:
        """As it is now."""
        pool = self._engine.pool
        if isinstance(pool, QueuePool):
            CONNECTIONS.labels("open").set(pool.checkedin() + pool.checkedout())
        CONNECTIONS.labels("in_use").set(len(self._connections.taken))
