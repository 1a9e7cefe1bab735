"""Batches of commands, and what the tests of batching do with the event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from core.errors import DomainError


class Refusal(DomainError):
    pass


class FakeUseCase:
    """Answers each command with itself in capitals. `before` runs first in every batch, and may fail it; a closed door holds it up."""

    def __init__(self, before: Callable[[Sequence[str]], None] = lambda commands: None) -> None:
        self.batches: list[list[str]] = []
        self.carried_out: list[str] = []
        self.door = asyncio.Event()
        self.door.set()
        self._before = before

    async def execute(self, commands: Sequence[str]) -> Sequence[str | DomainError]:
        self.batches.append(list(commands))
        await self.door.wait()
        self._before(commands)
        self.carried_out += commands
        return [Refusal() if command == "refused" else command.upper() for command in commands]


def failing(error: Exception, *, with_: str, times: int = 1_000_000) -> Callable[[Sequence[str]], None]:
    """Fails so many batches that have this command in them."""
    left = [times]

    def fail(commands: Sequence[str]) -> None:
        if with_ in commands and left[0]:
            left[0] -= 1
            raise error

    return fail


def started(calls: Iterable[Awaitable[Any]]) -> list["asyncio.Future[Any]"]:
    return [asyncio.ensure_future(call) for call in calls]


async def turns(n: int = 20) -> None:
    """Lets whatever can run without time passing run."""
    for _ in range(n):
        await asyncio.sleep(0)


def worker_among(before: "set[asyncio.Task[Any]]", but: "Iterable[asyncio.Future[Any]]") -> "asyncio.Task[Any]":
    """The one task that has been started since, besides these."""
    (worker,) = asyncio.all_tasks() - before - set(but)
    return worker
