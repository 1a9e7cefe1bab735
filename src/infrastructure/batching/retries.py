"""Run again what lost a race in the database."""

import asyncio
import random
from typing import Final, Generic, ParamSpec, Protocol, TypeVar

from core.errors import ConcurrentUpdate, Overloaded

ATTEMPTS_MAX: Final = 12
"""With the pauses below some 0.8 seconds in all: a race that is lost so often is no race but an overload, and the caller hears of it."""

BACKOFF_SECONDS: Final = 0.002
BACKOFF_SECONDS_MAX: Final = 0.25

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Executing(Protocol[P, R]):
    """A use case with a transaction of its own."""

    async def execute(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class Retried(Generic[P, R]):
    """A use case that is run again where it lost a race; a decorator with the use case's own signature."""

    def __init__(self, use_case: Executing[P, R]) -> None:
        self._use_case = use_case

    async def execute(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Raises Overloaded where the race is lost again and again."""
        for attempt in range(ATTEMPTS_MAX):
            try:
                return await self._use_case.execute(*args, **kwargs)
            except ConcurrentUpdate:
                await back_off(attempt)
        raise Overloaded


async def back_off(attempt: int) -> None:
    """Waits for a random while, longer from attempt to attempt, so that those who raced each other do not meet again."""
    await asyncio.sleep(random.uniform(0, min(BACKOFF_SECONDS * 2**attempt, BACKOFF_SECONDS_MAX)))
