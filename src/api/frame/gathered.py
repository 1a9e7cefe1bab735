"""Requests that were answered, gathered for a moment: what is done of them is done for many at a time, and no caller waits for it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from api.served import Served

GATHERED: Final = "tollgate.gathered"
"""Where the application's state has it, for what the server refuses before it is a request."""

GATHERED_SECONDS: Final = 0.05

Take = Callable[[Sequence[Served]], None]


class Gathered:
    """A process's. One instance serves one event loop."""

    def __init__(self, takers: Sequence[Take]) -> None:
        self._takers = takers
        self._answered: list[Served] = []

    def add(self, served: Served) -> None:
        """The request has been answered."""
        if not self._answered:
            asyncio.get_running_loop().call_later(GATHERED_SECONDS, self.flush)
        self._answered.append(served)

    def flush(self) -> None:
        """Hands on what was gathered until now."""
        answered, self._answered = self._answered, []
        if answered:
            for take in self._takers:
                take(answered)
