"""Connections for what is done many times a second."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from infrastructure.sql.driver.errors import CONNECTION_LOST, storage_errors
from infrastructure.sql.driver.pool import POOL_OVERFLOW, POOL_SIZE, autocommitting
from infrastructure.sql.driver.statements import Driver, driver_of

KEPT_MAX: Final = 2
CLOSED_MAX: Final = KEPT_MAX + POOL_SIZE + POOL_OVERFLOW
"""So many connections may turn out to have been closed, one after the other; the next one is new."""

_CLOSED_UNSEEN: Final = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    ConnectionError,
)
"""What the first use of a connection raises that the other side has closed, as it does with all of them when it is restarted."""

T = TypeVar("T")


class Live(NamedTuple):
    """A connection as SQLAlchemy knows it, and the driver's own behind it."""

    connection: AsyncConnection
    driver: Driver


class Connections:
    """An engine's connections, without transactions of SQLAlchemy's making; the last ones that were used are kept at hand.

    SQLAlchemy takes longer to hand a connection out and to take it back than the driver takes for a transaction's beginning and end.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = autocommitting(engine)
        self._kept: list[Live] = []
        self._kept_max = KEPT_MAX

    async def take(self, first: Callable[[Live], Awaitable[T]]) -> tuple[Live, T]:
        """A connection, and what `first` did on it: nothing that may not be done twice, since a connection may turn out to be gone."""
        closed = 0
        while True:
            live = self._kept.pop() if self._kept else await self._open()
            try:
                return live, await first(live)
            except BaseException as error:
                await self.discard(live)
                closed += 1
                if closed > CLOSED_MAX or not isinstance(error, _CLOSED_UNSEEN):
                    raise

    async def ask(self, question: Callable[[Driver], Awaitable[T]]) -> T:
        """The answer to one statement that changes nothing, a transaction of its own; asked again where a connection turns out gone."""
        with storage_errors():
            live, answer = await self.take(lambda live: question(live.driver))
            await self.give_back(live)
        return answer

    async def give_back(self, live: Live) -> None:
        """One that is in no transaction."""
        # What SQLAlchemy itself has worked with goes back to its pool, which knows how to clean up.
        if len(self._kept) < self._kept_max and not live.connection.in_transaction():
            self._kept.append(live)
        else:
            await live.connection.close()

    async def discard(self, live: Live) -> None:
        """One that is lost, or in a state that nobody knows."""
        with suppress(*CONNECTION_LOST):
            await live.connection.invalidate()
            await live.connection.close()

    async def close(self) -> None:
        """Closes what is kept, and keeps no more."""
        self._kept_max = 0
        while self._kept:
            await self._kept.pop().connection.close()

    async def _open(self) -> Live:
        while True:
            connection = await self._engine.connect()
            live = Live(connection, await driver_of(connection))
            if not live.driver.is_closed():
                return live
            await self.discard(live)
