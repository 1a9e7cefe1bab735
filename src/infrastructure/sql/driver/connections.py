"""Connections for what is done many times a second."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import StorageUnavailable
from infrastructure.sql.driver.errors import CONNECTION_LOST, server_gone, storage_errors
from infrastructure.sql.driver.outages import Cause, Outages
from infrastructure.sql.driver.pool import autocommitting
from infrastructure.sql.driver.server_connection import ServerConnection
from infrastructure.sql.driver.statements import Driver, driver_of

KEPT_MAX: Final = 2

PROMPT_SECONDS_MAX: Final = 2.5
"""What a server that lives answers at once, such as BEGIN, is waited for so long; then the connection counts as lost."""

T = TypeVar("T")


class Live(NamedTuple):
    """A connection as SQLAlchemy knows it, and the driver's own behind it."""

    connection: AsyncConnection
    driver: Driver


class Connections:
    """An engine's connections, without transactions of SQLAlchemy's making; the last ones that were used are kept at hand.

    SQLAlchemy takes longer to hand a connection out and to take it back than the driver takes for a transaction's beginning and end.

    Where one is lost, all that were made until then are not used again: they lead to the same place. So whoever meets a loss finds a
    connection that is new.
    """

    def __init__(self, engine: AsyncEngine, outages: Outages | None = None) -> None:
        self.outages = outages or Outages()
        self._engine = autocommitting(engine)
        self._kept: list[Live] = []
        self._kept_max = KEPT_MAX
        self._taken: dict[Driver, float] = {}
        self._condemned_at = -math.inf
        self._burying: set[asyncio.Task[None]] = set()

    @property
    def taken(self) -> Mapping[Driver, float]:
        """Those that are in use, and since when (`time.monotonic`)."""
        return self._taken

    async def take(self, first: Callable[[Live], Awaitable[T]], *, prompt: bool = False) -> tuple[Live, T]:
        """A connection, and what `first` did on it: nothing that may not be done twice.

        Where the connection turns out to be lost, `first` is done once more, on a new one. `prompt`: a server that lives does it at
        once, so that a time-out is a loss, too. Raises StorageUnavailable, ConcurrentUpdate and Overloaded.
        """
        try:
            with storage_errors():
                taken = await self._first(first, prompt) or await self._first(first, prompt, again=True)
                assert taken is not None
                return taken
        except StorageUnavailable as away:
            self.outages.failed(away.__cause__ or away)
            raise

    async def ask(self, question: Callable[[Driver], Awaitable[T]], *, prompt: bool = False) -> T:
        """The answer to a question that may be asked twice, in a transaction of its own or in none; as `take`."""
        live, answer = await self.take(lambda live: question(live.driver), prompt=prompt)
        await self.give_back(live)
        return answer

    async def give_back(self, live: Live) -> None:
        """One that is in no transaction."""
        self._taken.pop(live.driver, None)
        # While the address leads to a server that only reads, it is looked up anew each time.
        if self._is_condemned(live) or self.outages.ongoing is Cause.READ_ONLY:
            await self._drop(live)
        # What SQLAlchemy itself has worked with goes back to its pool, which knows how to clean up.
        elif len(self._kept) < self._kept_max and not live.connection.in_transaction():
            self._kept.append(live)
        else:
            await live.connection.close()

    def fail(self, live: Live, error: BaseException) -> None:
        """One on which something failed, and somebody is told so."""
        self.lose(live, error)
        self.outages.failed(error)

    def lose(self, live: Live, error: BaseException, *, prompt: bool = False) -> bool:
        """One on which something failed is not used again; nor are the others, where the error says that it is lost, which is returned."""
        lost = isinstance(error, Exception) and (
            server_gone(error) or live.driver.is_closed() or (prompt and isinstance(error, TimeoutError))
        )
        if lost:
            live.driver.terminate()
            self.condemn()
        self.discard(live)
        return lost

    def discard(self, live: Live) -> None:
        """One in a state that nobody knows. What is under way on it is stopped, if the server lives, and nobody waits for that."""
        self._taken.pop(live.driver, None)
        burying = asyncio.create_task(self._bury(live))
        self._burying.add(burying)
        burying.add_done_callback(self._burying.discard)

    def condemn(self) -> None:
        """No connection that was made until now is handed out again."""
        self._condemned_at = time.monotonic()
        while self._kept:
            live = self._kept.pop()
            live.driver.terminate()
            self.discard(live)

    async def close(self) -> None:
        """Closes what is kept, and keeps no more."""
        self._kept_max = 0
        while self._kept:
            await self._kept.pop().connection.close()
        if self._burying:
            await asyncio.wait(self._burying)

    async def _first(self, first: Callable[[Live], Awaitable[T]], prompt: bool, *, again: bool = False) -> tuple[Live, T] | None:
        """None where the connection was lost and it is to be done again."""
        live = await self._at_hand()
        self._taken[live.driver] = time.monotonic()
        try:
            return live, await first(live)
        except BaseException as error:
            if not self.lose(live, error, prompt=prompt) or again:
                raise
        return None

    async def _at_hand(self) -> Live:
        while self._kept:
            live = self._kept.pop()
            if not live.driver.is_closed():
                return live
            self.discard(live)
        while True:
            connection = await self._engine.connect()
            live = Live(connection, await driver_of(connection))
            if not live.driver.is_closed() and not self._is_condemned(live):
                return live
            await self._drop(live)

    def _is_condemned(self, live: Live) -> bool:
        return isinstance(live.driver, ServerConnection) and live.driver.born <= self._condemned_at

    async def _drop(self, live: Live) -> None:
        """At once, without a word to the server."""
        live.driver.terminate()
        await self._bury(live)

    async def _bury(self, live: Live) -> None:
        with suppress(*CONNECTION_LOST):
            await live.connection.invalidate()
            await live.connection.close()
