"""Tells pages that are open when something of their customer's usage has changed: server-sent events."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from core.clock import Clock
from core.errors import DomainError
from core.portal.ports import UsageWatch

ASK_SECONDS: Final = 1.0
STREAMS_MAX: Final = 500
"""Of one process; a page beyond them reloads by itself instead."""
STREAM_SECONDS_MAX: Final = 300.0
"""Then a stream ends, and the browser begins the next one."""
SILENCE_SECONDS_MAX: Final = 15.0

_CHANGED: Final = b"event: changed\ndata: {}\n\n"
_STILL_THERE: Final = b": still there\n\n"
_BEGINNING: Final = b"retry: 2000\n\n"

logger = logging.getLogger("tollgate")


class TooManyStreams(Exception):
    """As many pages are watched as one process watches."""


class LiveUsage:
    """One question a second for all customers whose pages are open in this process; none where there is none."""

    def __init__(self, watch: UsageWatch, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock
        self._watched: Counter[str] = Counter()
        self._marks: dict[str, str] = {}
        self._changed = asyncio.Condition()
        self._asking: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """How many pages are watched."""
        return self._watched.total()

    async def events(self, customer_id: str, stop: asyncio.Event) -> AsyncIterator[bytes]:
        """What a page's stream says, until it has been long enough, or `stop` is set. Raises TooManyStreams."""
        if self.streams >= STREAMS_MAX:
            raise TooManyStreams
        return self._events(customer_id, stop)

    async def _events(self, customer_id: str, stop: asyncio.Event) -> AsyncIterator[bytes]:
        self._watched[customer_id] += 1
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        loop = asyncio.get_running_loop()
        ends = loop.time() + STREAM_SECONDS_MAX
        stopped = asyncio.create_task(stop.wait())
        try:
            yield _BEGINNING
            seen = self._marks.get(customer_id)
            while not stop.is_set() and (left := ends - loop.time()) > 0:
                change = asyncio.create_task(self._next(customer_id, seen))
                await asyncio.wait((change, stopped), timeout=min(left, SILENCE_SECONDS_MAX), return_when=asyncio.FIRST_COMPLETED)
                if not change.done():
                    change.cancel()
                    yield _STILL_THERE
                    continue
                if seen is not None:
                    yield _CHANGED
                seen = change.result()
        finally:
            stopped.cancel()
            self._leave(customer_id)

    async def _next(self, customer_id: str, seen: str | None) -> str:
        async with self._changed:
            await self._changed.wait_for(lambda: self._marks.get(customer_id) not in (None, seen))
        return self._marks[customer_id]

    def _leave(self, customer_id: str) -> None:
        self._watched[customer_id] -= 1
        if not self._watched[customer_id]:
            del self._watched[customer_id]
            self._marks.pop(customer_id, None)
        if not self._watched and self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _ask(self) -> None:
        while True:
            try:
                found = await self._watch.marks(tuple(self._watched), self._clock())
            except DomainError as error:
                logger.info("Pages are not updated live at the moment: %s", error.code if hasattr(error, "code") else type(error).__name__)
            else:
                async with self._changed:
                    self._marks = {customer_id: mark for customer_id, mark in found.items() if customer_id in self._watched}
                    self._changed.notify_all()
            await asyncio.sleep(ASK_SECONDS)
