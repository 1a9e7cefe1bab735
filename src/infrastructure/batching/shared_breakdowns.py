"""Breakdowns of the ledger, a few at a time: each may sum a million records, and the connections are everybody's."""

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from contextvars import Context
from datetime import datetime
from typing import Final

from core.errors import Overloaded
from core.metering.ledger import Breakdown, LedgerQuery, UsageRecord
from core.metering.ports import LedgerReader
from core.plans.periods import Period

AT_ONCE_MAX: Final = 4
"""A quarter of a process's connections."""
WAIT_SECONDS_MAX: Final = 5
"""So long a breakdown waits for its turn."""

Breakdowns = Mapping[str, Breakdown]


class SharedBreakdowns(LedgerReader):
    """Whoever asks for the same while it waits for its turn gets the same answer: it is read after all of them have asked."""

    def __init__(self, reader: LedgerReader, at_once_max: int = AT_ONCE_MAX, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self._reader = reader
        self._room = asyncio.Semaphore(at_once_max)
        self._wait_seconds_max = wait_seconds_max
        self._waiting: dict[Hashable, asyncio.Task[Breakdowns]] = {}
        self._going_on: set[asyncio.Task[Breakdowns]] = set()

    async def newest(self, query: LedgerQuery) -> Sequence[UsageRecord]:
        return await self._reader.newest(query)

    async def breakdown(self, customer_id: str, periods: Mapping[str, Period], at: datetime) -> Breakdowns:
        """Raises Overloaded, too, where it has not had its turn in time."""
        key = (customer_id, *periods.items())
        task = self._waiting.get(key)
        if task is None:
            reading = self._in_turn(key, customer_id, periods, at)
            task = self._waiting[key] = asyncio.get_running_loop().create_task(reading, context=Context())
            self._going_on.add(task)
            task.add_done_callback(self._ended)
        return await asyncio.shield(task)  # a caller that goes away takes nobody's answer with it

    async def _in_turn(self, key: Hashable, customer_id: str, periods: Mapping[str, Period], at: datetime) -> Breakdowns:
        try:
            async with asyncio.timeout(self._wait_seconds_max):
                await self._room.acquire()
        except TimeoutError as error:
            raise Overloaded from error
        finally:
            del self._waiting[key]
        try:
            return await self._reader.breakdown(customer_id, periods, at)
        finally:
            self._room.release()

    def _ended(self, task: asyncio.Task[Breakdowns]) -> None:
        self._going_on.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also where no caller is left
