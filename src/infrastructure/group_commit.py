"""Concurrent commands share transactions: while one batch is with the database, the next one gathers.

A decorator with the use case's own signature. There are no timers: a lone command is carried out at once, and a batch is as large
as what arrived while the last one was under way.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from core.errors import ConcurrentUpdate, DomainError, Overloaded, StorageUnavailable
from core.metering.idempotency import Replay
from core.metering.use_case import UseCase

C = TypeVar("C")
R = TypeVar("R")

BATCH_SIZE_MAX: Final = 512
QUEUE_SIZE_MAX: Final = 10_000
ATTEMPTS_MAX: Final = 12
BATCH_ATTEMPTS_MAX: Final = 4
BACKOFF_SECONDS: Final = 0.002
BACKOFF_SECONDS_MAX: Final = 0.25

logger = logging.getLogger("tollgate")


@dataclass(slots=True)
class _Waiting(Generic[C, R]):
    command: C
    outcome: "asyncio.Future[R | Replay | DomainError]"


class GroupCommit(Generic[C, R]):
    """Carries commands out in batches, one batch at a time, in the order in which they came.

    - More than `queue_size_max` waiting commands: Overloaded, at once.
    - A caller that goes away while its batch is under way does not disturb it; one that goes before is not carried out.
    - A batch that fails is taken apart, so that a command that cannot be carried out fails alone.
    - A batch that lost a race in the database is run again, after a short random pause.
    """

    def __init__(self, use_case: UseCase[C, R], *, batch_size_max: int = BATCH_SIZE_MAX, queue_size_max: int = QUEUE_SIZE_MAX) -> None:
        self._use_case = use_case
        self._batch_size_max = batch_size_max
        self._queue_size_max = queue_size_max
        self._queue: deque[_Waiting[C, R]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def execute(self, commands: Sequence[C]) -> Sequence[R | Replay | DomainError]:
        """Raises Overloaded where the queue is full, and whatever a command's own failure was."""
        if len(self._queue) + len(commands) > self._queue_size_max:
            raise Overloaded
        loop = asyncio.get_running_loop()
        waiting = [_Waiting[C, R](command, loop.create_future()) for command in commands]
        self._queue.extend(waiting)
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        if len(waiting) == 1:
            return [await waiting[0].outcome]
        return await asyncio.gather(*(item.outcome for item in waiting))

    async def drain(self) -> None:
        """Returns when everything that was accepted has been carried out."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._queue:
                size = min(len(self._queue), self._batch_size_max)
                batch = [self._queue.popleft() for _ in range(size)]
                await self._settle([item for item in batch if not item.outcome.done()])
        finally:
            self._worker = None

    async def _settle(self, batch: Sequence[_Waiting[C, R]]) -> None:
        if not batch:
            return
        try:
            outcomes = await self._run([item.command for item in batch])
        except StorageUnavailable as away:
            outcomes = [StorageUnavailable(outcome_unknown=away.outcome_unknown) for _ in batch]
        except Overloaded:
            # Taken apart, the batch would wait for a connection once for every command, and all behind it would wait, too.
            outcomes = [Overloaded() for _ in batch]
        except Exception as error:  # noqa: BLE001 - whatever it is, it must fail one command and not its neighbours
            await self._take_apart(batch, error)
            return
        for item, outcome in zip(batch, outcomes, strict=True):
            if not item.outcome.done():
                item.outcome.set_result(outcome)

    async def _take_apart(self, batch: Sequence[_Waiting[C, R]], error: Exception) -> None:
        if len(batch) == 1:
            if not batch[0].outcome.done():
                batch[0].outcome.set_exception(error)
            return
        logger.warning("A batch of %d commands failed and is taken apart: %r", len(batch), error)
        middle = len(batch) // 2
        await self._settle(batch[:middle])
        await self._settle(batch[middle:])

    async def _run(self, commands: Sequence[C]) -> Sequence[R | Replay | DomainError]:
        attempts = ATTEMPTS_MAX if len(commands) == 1 else BATCH_ATTEMPTS_MAX
        for attempt in range(attempts):
            try:
                return await self._use_case.execute(commands)
            except ConcurrentUpdate:
                if len(commands) > 1 and attempt + 1 == attempts:
                    raise
                pause = min(BACKOFF_SECONDS * 2**attempt, BACKOFF_SECONDS_MAX)
                await asyncio.sleep(random.uniform(0, pause))
        raise Overloaded
