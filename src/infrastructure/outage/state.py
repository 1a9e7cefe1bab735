"""What a process knows of an outage, for all who act on it."""

import asyncio
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import NamedTuple

from core.metering.idempotency import ReplyKey, StoredReply


class Phase(Enum):
    """Where the process stands.

    `away`: the database does not answer. `catching_up`: it does, and what was admitted meanwhile is being booked.
    """

    NORMAL = "normal"
    AWAY = "away"
    CATCHING_UP = "catching_up"


class Answered(NamedTuple):
    """What was answered under an idempotency key and is not booked yet; `written` is done once it is durable."""

    stored: StoredReply
    written: "asyncio.Future[None]"


class Outage:
    """One instance serves one event loop."""

    def __init__(self) -> None:
        self.admits: AbstractSet[str] = frozenset()
        """The features that the operator has chosen to admit."""
        self.phase = Phase.NORMAL
        self.answers: dict[ReplyKey, Answered] = {}
        self.unknown: set[ReplyKey] = set()
        """Keys of calls of which nobody knows whether they were booked: they may not be refused until that is found out."""
        self._began = asyncio.Event()
        self._released = asyncio.Event()
        self._released.set()

    def begin(self) -> bool:
        """The database did not answer. Whether that is news."""
        if self.phase is not Phase.NORMAL:
            return False
        self.phase = Phase.AWAY
        self._began.set()
        return True

    def end(self) -> None:
        """All is booked, and decisions are the database's again."""
        self.phase = Phase.NORMAL
        self.unknown.clear()
        self.release()

    async def begun(self, seconds_max: float) -> None:
        """Returns when an outage begins, and after so many seconds at the latest."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._began.wait()
        except TimeoutError:
            pass
        self._began.clear()

    def hold(self) -> None:
        """Decisions wait, for the little that is left to book, so that none is made on a balance that is about to change."""
        self._released.clear()

    def release(self) -> None:
        """Whoever waits goes on."""
        self._released.set()

    @property
    def is_held(self) -> bool:
        return not self._released.is_set()

    async def released(self) -> None:
        """Returns at once unless decisions are held."""
        await self._released.wait()
