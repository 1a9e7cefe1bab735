"""One timer for all connections of a process."""

import asyncio
from collections.abc import Collection
from typing import Protocol


class Watched(Protocol):
    """A connection."""

    def look(self, now: int) -> None:
        """Ends what has taken too long."""


class Watch:
    """Looks at every connection once a second, so that a request starts and stops no timer of its own. `now` counts the seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connections: Collection[Watched]) -> None:
        self.now = 0
        self._loop = loop
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Called for each connection; the watch rests while there is none."""
        if self._timer is None:
            self._timer = self._loop.call_later(1, self._tick)

    def _tick(self) -> None:
        self.now += 1
        for connection in tuple(self._connections):
            connection.look(self.now)
        self._timer = None
        if self._connections:
            self.begin()
