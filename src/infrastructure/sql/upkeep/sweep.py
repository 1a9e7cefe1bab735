"""Removes what nobody needs any more, a small bite at a time: holds long expired, keys and refusals past their time, sessions of pages."""

import asyncio
import logging
import random
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from core.clock import Clock
from core.history.refusals import KEPT_FOR as REFUSALS_KEPT_FOR
from core.metering.idempotency import KEPT_FOR
from infrastructure.logs.withheld import described
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import HotStatement

BITE_ROWS: Final = 500
EVERY_SECONDS: Final = 60.0
HOLDS_KEPT_FOR: Final = timedelta(hours=1)
SESSIONS_KEPT_FOR: Final = timedelta(days=1)
"""After they have ended: so long an address says that its page has ended, and not that there is none."""

logger = logging.getLogger("tollgate")

SWEPT: Final = Counter("tollgate_swept_rows", "Rows that the sweeper has removed.")
PUT_OFF: Final = Counter("tollgate_sweeps_put_off", "Times that the sweeper failed.")

_HOLDS: Final = HotStatement(
    """
    DELETE FROM usage_hold WHERE (customer_id, feature, reservation_id) IN (
        SELECT customer_id, feature, reservation_id FROM usage_hold WHERE expires_at < :before ORDER BY expires_at LIMIT :rows
        FOR UPDATE SKIP LOCKED
    ) RETURNING 1
    """
)
_KEYS: Final = HotStatement(
    """
    DELETE FROM idempotency_key WHERE (customer_id, key) IN (
        SELECT customer_id, key FROM idempotency_key WHERE created_at < :before ORDER BY created_at LIMIT :rows
        FOR UPDATE SKIP LOCKED
    ) RETURNING 1
    """
)
_REFUSALS: Final = HotStatement(
    """
    DELETE FROM refusal WHERE (customer_id, id) IN (
        SELECT customer_id, id FROM refusal WHERE at < :before ORDER BY at LIMIT :rows FOR UPDATE SKIP LOCKED
    ) RETURNING 1
    """
)
_PORTAL_SESSIONS: Final = HotStatement(
    """
    DELETE FROM portal_session WHERE (customer_id, id) IN (
        SELECT customer_id, id FROM portal_session WHERE expires_at < :before ORDER BY expires_at LIMIT :rows FOR UPDATE SKIP LOCKED
    ) RETURNING 1
    """
)
_CONSOLE_SESSIONS: Final = HotStatement(
    """
    DELETE FROM console_session WHERE id IN (
        SELECT id FROM console_session WHERE expires_at < :before ORDER BY expires_at LIMIT :rows FOR UPDATE SKIP LOCKED
    ) RETURNING 1
    """
)


class SqlSweeper:
    """Runs beside the service. Nothing depends on it but the size of the tables."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    async def run(self) -> None:
        """Sweeps for ever, at a random moment of each minute, so that processes do not sweep all at once."""
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5) * EVERY_SECONDS)
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
                PUT_OFF.inc()
                logger.warning("Sweeping was put off: %s", described(error))

    async def sweep(self) -> int:
        """Sweeps what is due now, and says how many rows that was."""
        now = self._clock()
        due = (
            (_HOLDS, now - HOLDS_KEPT_FOR),
            (_KEYS, now - KEPT_FOR),
            (_REFUSALS, now - REFUSALS_KEPT_FOR),
            (_PORTAL_SESSIONS, now - SESSIONS_KEPT_FOR),
            (_CONSOLE_SESSIONS, now - SESSIONS_KEPT_FOR),
        )
        return sum([await self._bites(statement, before) for statement, before in due])

    async def _bites(self, statement: HotStatement, before: datetime) -> int:
        swept = 0
        while True:
            rows = await self._connections.ask(lambda driver: statement.fetch(driver, {"before": before, "rows": BITE_ROWS}))
            swept += len(rows)
            SWEPT.inc(len(rows))
            if len(rows) < BITE_ROWS:
                return swept
