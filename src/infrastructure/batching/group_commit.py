"""Concurrent commands share transactions: while one batch is with the database, the next one gathers.

A decorator with the use case's own signature. There are no timers: a lone command is carried out at once, and a batch is as large
as what arrived while the last one was under way.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from prometheus_client import Gauge, Histogram

from core.errors import BrokenCommand, ConcurrentUpdate, DomainError, Overloaded, StorageUnavailable
from core.metering.idempotency import Replay
from core.metering.use_case import Call, UseCase
from infrastructure.batching.retries import ATTEMPTS_MAX, back_off
from infrastructure.logs.withheld import described

C = TypeVar("C")
R = TypeVar("R")

BATCH_SIZE_MAX: Final = 2_000
QUEUE_SIZE_MAX: Final = 10_000
ANSWERED_AT_ONCE: Final = 8
BATCH_ATTEMPTS_MAX: Final = 4
"""A batch that keeps losing is taken apart, since the race is mostly about one of its commands."""

logger = logging.getLogger("tollgate")

QUEUE_SECONDS: Final = Histogram(
    "tollgate_queue_seconds",
    "How long the first caller of a batch waited for it.",
    ("use_case",),
    buckets=(0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
QUEUED: Final = Gauge(
    "tollgate_queue_commands", "Commands that were left waiting when the last batch began.", ("use_case",), multiprocess_mode="livesum"
)


@dataclass(slots=True)
class _Caller(Generic[C, R]):
    """Somebody who waits, and the calls that it made together."""

    calls: Sequence[Call[C]]
    outcomes: "asyncio.Future[Sequence[R | Replay | DomainError]]"
    context: Context
    """Whose request it is, for the log."""
    since: float


class GroupCommit(Generic[C, R]):
    """Carries commands out in batches, one batch at a time, in the order in which they came.

    - More than `queue_size_max` waiting commands: Overloaded, at once.
    - A caller that goes away while its batch is under way does not disturb it; one that goes before is not carried out.
    - A batch that fails is taken apart, so that a command that cannot be carried out fails alone.
    - A batch that lost a race in the database is run again, after a short random pause.
    """

    def __init__(self, use_case: UseCase[C, R], *, batch_size_max: int = BATCH_SIZE_MAX, queue_size_max: int = QUEUE_SIZE_MAX) -> None:
        self._use_case = use_case
        name: str = getattr(use_case, "name", type(use_case).__name__)
        self._queue_seconds, self._queued = QUEUE_SECONDS.labels(name), QUEUED.labels(name)
        self._batch_size_max = batch_size_max
        self._queue_size_max = queue_size_max
        self._queue: deque[_Caller[C, R]] = deque()
        self._waiting = 0
        self._worker: asyncio.Task[None] | None = None
        self._answers: deque[tuple[_Caller[C, R], Sequence[R | Replay | DomainError]]] = deque()

    async def execute(self, calls: Sequence[Call[C]]) -> Sequence[R | Replay | DomainError]:
        """Raises Overloaded where the queue is full, and what a lone command failed with; beside others, that is BrokenCommand."""
        if self._waiting + len(calls) > self._queue_size_max:
            raise Overloaded
        return await self._enqueue(calls)

    async def drain(self) -> None:
        """Returns when everything that was accepted has been carried out and answered."""
        while self._worker is not None:
            await asyncio.wait([self._worker])
        while self._answers:
            self._answer()

    def _enqueue(self, calls: Sequence[Call[C]]) -> "asyncio.Future[Sequence[R | Replay | DomainError]]":
        loop = asyncio.get_running_loop()
        caller = _Caller(calls, loop.create_future(), copy_context(), loop.time())
        self._queue.append(caller)
        self._waiting += len(calls)
        if self._worker is None:
            self._worker = loop.create_task(self._work(), context=Context())  # of no request: it works for all of them
            self._worker.add_done_callback(self._ended)
        return caller.outcomes

    async def _work(self) -> None:
        try:
            while batch := self._next_batch():
                try:
                    await self._settle(batch)
                except BaseException:  # the worker was cancelled: nobody else will answer these
                    self._give_up(batch)
                    raise
        finally:
            self._worker = None

    def _ended(self, worker: "asyncio.Task[None]") -> None:
        if self._worker is worker:  # it was cancelled before it began, and nothing of it has run
            self._worker = None
            self._give_up(())

    def _give_up(self, batch: Sequence[_Caller[C, R]]) -> None:
        """What was carried out is answered. Of what is under way nobody can tell whether it was committed; what waits was not begun."""
        while self._answers:
            self._answer()
        for caller in batch:
            if not caller.outcomes.done():
                caller.outcomes.set_exception(StorageUnavailable(outcome_unknown=True))
        for caller in self._queue:
            if not caller.outcomes.done():
                caller.outcomes.set_exception(StorageUnavailable())
        self._queue.clear()
        self._waiting = 0

    def _next_batch(self) -> list[_Caller[C, R]]:
        """The calls that are next, as many as fit, and one however large; those whose callers have gone away are dropped.

        Empty only when no call is left.
        """
        batch: list[_Caller[C, R]] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0].calls) <= self._batch_size_max):
            caller = self._queue.popleft()
            self._waiting -= len(caller.calls)
            if not caller.outcomes.done():
                batch.append(caller)
                size += len(caller.calls)
        if batch:
            self._queue_seconds.observe(asyncio.get_running_loop().time() - batch[0].since)
            self._queued.set(self._waiting)
        return batch

    async def _settle(self, batch: Sequence[_Caller[C, R]]) -> None:
        calls = [call for caller in batch for call in caller.calls]
        try:
            outcomes = await self._run(calls)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must fail one command and not its neighbours
            await self._take_apart(batch, error)
            return
        start = 0
        answering = bool(self._answers)
        for caller in batch:
            end = start + len(caller.calls)
            self._answers.append((caller, outcomes[start:end]))
            start = end
        if not answering:
            self._answer()

    def _answer(self) -> None:
        """A few callers at a time: in between, the database's replies to the next batch are seen, and it never waits for nothing.

        Where many wait, more of them: answers must not become fewer than what is asked.
        """
        waiting = len(self._answers)
        for _ in range(min(max(ANSWERED_AT_ONCE, waiting // ANSWERED_AT_ONCE), waiting)):
            caller, outcomes = self._answers.popleft()
            if not caller.outcomes.done():
                caller.outcomes.set_result(outcomes)
        if self._answers:
            asyncio.get_running_loop().call_soon(self._answer)

    async def _take_apart(self, batch: Sequence[_Caller[C, R]], error: Exception) -> None:
        if len(batch) > 1:
            logger.warning("A batch of %d calls failed and is taken apart: %s", len(batch), described(error))
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
            return
        (caller,) = batch
        outcomes = None if len(caller.calls) == 1 else await self._apart(caller, caller.calls, error)
        if caller.outcomes.done():
            return
        if outcomes is None:
            caller.outcomes.set_exception(error)
        else:
            caller.outcomes.set_result(outcomes)

    async def _apart(self, caller: _Caller[C, R], calls: Sequence[Call[C]], error: Exception) -> list[R | Replay | DomainError]:
        """The outcomes of one call's commands that failed together: the caller learns which of them stand."""
        if len(calls) == 1:
            caller.context.run(partial(logger.error, "A command failed beside others of its request", exc_info=error))
            return [BrokenCommand()]
        outcomes: list[R | Replay | DomainError] = []
        middle = len(calls) // 2
        for half in (calls[:middle], calls[middle:]):
            try:
                outcomes += await self._run(half)
            except Exception as failure:  # noqa: BLE001 - as above
                outcomes += await self._apart(caller, half, failure)
        return outcomes

    async def _run(self, calls: Sequence[Call[C]]) -> Sequence[R | Replay | DomainError]:
        """Raises what is wrong with a command; that the database is away or busy is everyone's outcome, at once."""
        attempts = ATTEMPTS_MAX if len(calls) == 1 else BATCH_ATTEMPTS_MAX
        for attempt in range(attempts):
            try:
                return await self._use_case.execute(calls)
            except ConcurrentUpdate:
                if len(calls) > 1 and attempt + 1 == attempts:
                    raise
                await back_off(attempt)
            except StorageUnavailable as away:
                return [StorageUnavailable(outcome_unknown=away.outcome_unknown) for _ in calls]
            except Overloaded:
                break
        return [Overloaded() for _ in calls]
