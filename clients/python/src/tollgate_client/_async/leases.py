"""Decisions without a request for each: a chunk of the limit is held, and given out locally."""

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING
from uuid import UUID

from tollgate_client import errors
from tollgate_client._async.primitives import Lock, Mutex

if TYPE_CHECKING:
    from tollgate_client._async.client import AsyncTollgate

MARGIN_SECONDS = 1.0
"""A chunk is used so much shorter than it is held: clocks run at different speeds, and a commit takes its time."""
REFILL_AT = 0.25
"""The next chunk is asked for when so much of the current one is left."""


class _Chunk:
    """Units that are held for this process, until `usable_until` on its own monotonic clock."""

    __slots__ = ("id", "left", "record_id", "size", "usable_until")

    def __init__(self, id: UUID | None, size: int, usable_until: float, record_id: str | None = None) -> None:
        self.id = id
        self.size = size
        self.left = size
        self.usable_until = usable_until
        self.record_id = record_id

    @property
    def used(self) -> int:
        return self.size - self.left


class Lease:
    """Takes whole units of one feature, hundreds of thousands a second, and is never over the limit, whatever dies.

    A chunk of the limit is held in the service, and `take` gives it out without a request. Used chunks are committed as it goes, the next
    one is fetched ahead, and what is left is given back at the end. A chunk is usable until shortly before its hold ends, counted on
    this process's monotonic clock from before it was asked for, so wrong clocks do no harm.

    What a crash may lose: units that were taken and not yet committed, at most two chunks; their holds lapse after `ttl_seconds`, and
    the units can be used again. With `durable=True` a chunk is booked before it is given out, and what was not taken is corrected down
    at the end, for which the key has to be an admin's: a crash then loses nothing, and up to two chunks count as used that were not.
    """

    def __init__(
        self,
        client: "AsyncTollgate",
        customer_id: str,
        feature: str,
        chunk: int,
        ttl_seconds: int,
        *,
        durable: bool = False,
        reference: str | None = None,
    ) -> None:
        if chunk < 1:
            raise ValueError("a chunk has at least one unit")
        if ttl_seconds < 5:
            raise ValueError("a lease needs a ttl_seconds of at least 5")
        self._client = client
        self._customer_id = customer_id
        self._feature = feature
        self._chunk = chunk
        self._ttl_seconds = ttl_seconds
        self._durable = durable
        self._reference = reference
        self._mutex = Mutex()
        self._refilling = Lock()
        self._current = _Chunk(None, 0, 0.0)
        self._next: _Chunk | None = None
        self._asked_ahead = False
        self._settling: list[_Chunk] = []
        self._closed = False
        self._call_off: Callable[[], None] | None = None

    async def __aenter__(self) -> "Lease":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def try_take(self, quantity: int = 1) -> bool:
        """Takes from the chunk at hand, without waiting; False where that has not enough, which does not mean that the limit is reached."""
        with self._mutex:
            chunk = self._current
            if chunk.left < quantity or time.monotonic() >= chunk.usable_until or quantity < 1:
                return False
            chunk.left -= quantity
            ahead = not self._asked_ahead and chunk.left < self._chunk * REFILL_AT
            if ahead:
                self._asked_ahead = True
        if ahead:
            self._client.beside.later(0, self._fetch_ahead)
        return True

    async def take(self, quantity: int = 1) -> None:
        """Takes so many units, or raises LimitExceeded. It waits only where the chunk at hand has not enough."""
        if self.try_take(quantity):
            return
        if quantity < 1:
            raise ValueError("at least one unit is taken")
        async with self._refilling:
            while not self.try_take(quantity):
                if self._closed:
                    raise errors.Closed("the lease has ended")
                await self._advance(quantity)

    async def close(self) -> None:
        """Commits what was taken, and gives back the rest."""
        async with self._refilling:
            with self._mutex:
                self._closed = True
                chunks = [self._current, *([self._next] if self._next else [])]
                self._current, self._next = _Chunk(None, 0, 0.0), None
            if self._call_off is not None:
                self._call_off()
            for chunk in [*self._settling, *chunks]:
                await self._settle(chunk)
            self._settling.clear()

    async def _advance(self, quantity: int) -> None:
        """Puts the next chunk in the current one's place; fetches one where there is none, or it is too small or too old."""
        with self._mutex:
            following, self._next = self._next, None
        if following is not None and (following.left < quantity or time.monotonic() >= following.usable_until):
            await self._settle(following)
            following = None
        if following is None:
            # What the current chunk has left is too little, or too late: it goes back first, since it may be the limit's last units.
            await self._replace(_Chunk(None, 0, 0.0))
            following = await self._fetched(max(self._chunk, quantity), quantity)
        await self._replace(following)

    async def _replace(self, chunk: _Chunk) -> None:
        with self._mutex:
            before, self._current = self._current, chunk
            self._asked_ahead = False
        await self._settle(before)
        self._keep_later()

    async def _fetch_ahead(self) -> None:
        async with self._refilling:
            if self._closed or self._next is not None:
                return
            with suppress(errors.TollgateError):  # it is asked for again when it is needed, and then told
                self._next = await self._fetched(self._chunk, 1)

    async def _fetched(self, size: int, least: int) -> _Chunk:
        """A new chunk; what is left of the limit where that is less than a chunk, and at least `least`. Raises LimitExceeded."""
        while True:
            began = time.monotonic()
            try:
                if self._durable:
                    booked = await self._client.consume(
                        self._customer_id, {self._feature: size}, reference=self._reference, on_outage="refuse"
                    )
                    return _Chunk(None, size, float("inf"), booked.records[0].id)
                held = await self._client.reserve(
                    self._customer_id, {self._feature: size}, ttl_seconds=self._ttl_seconds, reference=self._reference
                )
                return _Chunk(held.id, size, began + self._ttl_seconds - MARGIN_SECONDS)
            except errors.LimitExceeded as refusal:
                rest = min(int(refusal.remaining), size - 1)
                if rest < least:
                    raise
                size = rest

    async def _settle(self, chunk: _Chunk) -> None:
        """Commits what was taken of a chunk that is no longer given out. What cannot be committed now is tried again at the end."""
        try:
            if chunk.record_id is not None:
                if chunk.left:
                    await self._client.correct(self._customer_id, chunk.record_id, quantity=-chunk.left, reason="not taken from the lease")
            elif chunk.id is not None:
                if chunk.used:
                    await self._client.commit(self._customer_id, chunk.id, {self._feature: chunk.used})
                else:
                    await self._client.release(self._customer_id, chunk.id)
        except errors.Conflict:
            return  # it was committed before, by a request whose answer was lost
        except errors.TollgateError:
            if self._closed:
                raise
            self._settling.append(chunk)

    def _keep_later(self) -> None:
        if self._call_off is not None:
            self._call_off()
        self._call_off = None if self._durable or self._closed else self._client.beside.later(self._ttl_seconds / 3, self._keep)

    async def _keep(self) -> None:
        """Commits what was taken of a chunk in good time before its hold ends, so that a slow user's units are booked as well."""
        async with self._refilling:
            chunk = self._current
            if self._closed or chunk.id is None:
                return
            if chunk.used:
                await self._replace(_Chunk(None, 0, 0.0))
                return
            began = time.monotonic()
            with suppress(errors.TollgateError):
                await self._client.extend(self._customer_id, chunk.id, ttl_seconds=self._ttl_seconds)
                chunk.usable_until = began + self._ttl_seconds - MARGIN_SECONDS
            self._keep_later()
