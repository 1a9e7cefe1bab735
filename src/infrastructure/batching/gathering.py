"""Many callers' questions in one: while one round of answers is with the database, the next round's questions gather."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

from core.errors import StorageUnavailable

ROUND_SECONDS_MAX: Final = 5.0
"""One round that never ends would hold up every caller of the process: it is given up, as StorageUnavailable."""

Q = TypeVar("Q")
A = TypeVar("A")


class Gathering(Generic[Q, A]):
    """Asks questions together that were asked at the same time by different callers.

    A question never takes part in a round that had started before it: what was committed before a request came in is always
    seen. A caller that gives up leaves the others undisturbed; an error reaches all callers of its round. Should the worker itself be
    cancelled, all who wait get StorageUnavailable. One instance serves one event loop.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], round_seconds_max: float = ROUND_SECONDS_MAX) -> None:
        self._answer = answer
        self._round_seconds_max = round_seconds_max
        self._asked: list[tuple[Q, asyncio.Future[A]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """The question's own answer. Raises whatever its round failed with."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._asked.append((question, answer))
        if self._worker is None:
            self._worker = loop.create_task(self._work(), context=Context())
            self._worker.add_done_callback(self._ended)
        return await answer

    async def _work(self) -> None:
        asked: list[tuple[Q, asyncio.Future[A]]] = []
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                waiting = [(question, answer) for question, answer in asked if not answer.done()]
                if waiting:
                    await self._round(waiting)
        except BaseException:  # the worker was cancelled: nobody else will answer these
            self._give_up(asked)
            raise
        finally:
            self._worker = None

    def _ended(self, worker: "asyncio.Task[None]") -> None:
        if self._worker is worker:  # it was cancelled before it began, and nothing of it has run
            self._worker = None
            self._give_up(())

    def _give_up(self, asked: Sequence[tuple[Q, "asyncio.Future[A]"]]) -> None:
        for _, answer in (*asked, *self._asked):
            if not answer.done():
                answer.set_exception(StorageUnavailable())
        self._asked = []

    async def _round(self, asked: Sequence[tuple[Q, "asyncio.Future[A]"]]) -> None:
        try:
            async with asyncio.timeout(self._round_seconds_max):
                found = await self._answer([question for question, _ in asked])
            answers = list(zip(asked, found, strict=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who asked
            failure = StorageUnavailable() if isinstance(error, TimeoutError) else error
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(failure)
            return
        for (_, answer), its in answers:
            if not answer.done():
                answer.set_result(its)
