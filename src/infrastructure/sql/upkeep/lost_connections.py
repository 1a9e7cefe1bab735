"""Connections that are open on this side only: whoever waits on one of them waits for nothing.

The system notices a machine that is gone. It does not notice what stands in between and goes on acknowledging: a proxy, a balancer, an
address that has moved. So where an answer is long in coming, the database is asked, on a new connection, whether it is at work on it.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from core.errors import DomainError
from infrastructure.sql.driver.address import lone_connection
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.errors import CONNECTION_LOST
from infrastructure.sql.driver.statements import Driver
from infrastructure.sql.upkeep.health import SqlHealth

LOOK_EVERY_SECONDS: Final = 0.5
LONG_SECONDS: Final = 2.0
"""An answer that takes longer is looked into."""

BETWEEN_LOOKS_SECONDS: Final = 1.0
"""Whoever does nothing at two moments that are so far apart does nothing. A statement that was just sent may not have begun."""

LOOKS: Final = 4
"""After so many rounds, the database is asked whether it is well, also where nobody else asks for anything."""

_SESSIONS: Final = """
    SELECT pid, state, state_change, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
    FROM pg_stat_activity WHERE datname = current_database() AND usename = session_user
"""
_END: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND state_change = $2 AND state <> 'active'"

_IDLE: Final = ("idle", "idle in transaction", "idle in transaction (aborted)")

CLOCK_SECONDS: Final = 1.0
"""How much earlier than the server this side may believe that a transaction began."""

logger = logging.getLogger("tollgate")


class Session(NamedTuple):
    """What the server does for a connection, and since when. `seconds` is the age of its transaction."""

    state: str | None
    state_change: datetime | None
    seconds: float | None

    def same_as(self, other: "Session | None") -> bool:
        return other is not None and (self.state, self.state_change) == (other.state, other.state_change)


Sessions: TypeAlias = Mapping[int, Session]
"""By the process ids of the server."""


class LostConnections:
    """Finds such connections and ends them: what waits on one of them fails as if it had been closed."""

    def __init__(self, connections: Connections, health: SqlHealth, url: str) -> None:
        self._connections = connections
        self._health = health
        self._url = url

    async def run(self) -> None:
        """For ever."""
        while True:
            for _ in range(LOOKS):
                await asyncio.sleep(LOOK_EVERY_SECONDS)
                with suppress(*CONNECTION_LOST):
                    await self.look()
            with suppress(DomainError, *CONNECTION_LOST):
                await self._health.check()

    async def look(self) -> None:
        """Raises what the driver raises where no new connection is to be had: then nothing is known, and nothing is ended."""
        waiting = self._waiting()
        if not waiting:
            return
        async with lone_connection(self._url) as fresh:
            before = await _sessions(fresh)
            await asyncio.sleep(BETWEEN_LOOKS_SECONDS)
            now = await _sessions(fresh)
            for driver, since in waiting.items():
                waited = time.monotonic() - since
                if self._connections.taken.get(driver) == since and _is_lost(driver, waited, before, now, fresh):
                    logger.warning("A connection is ended: after %.1f s the database is not at work on what it was sent.", waited)
                    await _end(driver, now, fresh)

    def _waiting(self) -> dict[Driver, float]:
        now = time.monotonic()
        return {driver: since for driver, since in self._connections.taken.items() if now - since > LONG_SECONDS}


async def _sessions(driver: Driver) -> Sessions:
    return {row["pid"]: Session(row["state"], row["state_change"], row["seconds"]) for row in await driver.fetch(_SESSIONS)}


def _is_lost(driver: Driver, waited: float, before: Sessions, now: Sessions, fresh: Driver) -> bool:
    """Whether the server is not at work on it, by what it said twice."""
    if fresh.get_server_pid() not in now:  # behind a pooler, which makes up its own: one of all the sessions would have to be as old
        ages = [session.seconds for session in (*before.values(), *now.values()) if session.seconds is not None]
        return max(ages, default=0.0) < waited - BETWEEN_LOOKS_SECONDS - CLOCK_SECONDS
    session = now.get(driver.get_server_pid())
    return session is None or (session.state in _IDLE and session.same_as(before.get(driver.get_server_pid())))


async def _end(driver: Driver, now: Sessions, fresh: Driver) -> None:
    """What waits on it fails; and its session, if it has one, is not to keep its locks."""
    pid = driver.get_server_pid()
    session = now.get(pid)
    driver.terminate()
    if session is not None and fresh.get_server_pid() in now:
        await fresh.execute(_END, pid, session.state_change)
