"""Many callers' questions in one: while one round of answers is with the database, the next round's questions gather."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from core.errors import StorageUnavailable

ROUND_SECONDS_MAX: Final = 5.0
"""One round that never ends would hold up every caller of the process: it is given up, as StorageUnavailable."""

Q = TypeVar("Q")
A = TypeVar("A")


class Gathering(Generic[Q, A]):
    """Asks questions together that were asked at the same time by different callers.

    A question never takes part in a round that had started before it: what was committed before a request came in is always
    seen. A caller that gives up leaves the others undisturbed; an error reaches all callers of its round. One instance serves
    one event loop.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], round_seconds_max: float = ROUND_SECONDS_MAX) -> None:
        self._answer = answer
        self._round_seconds_max = round_seconds_max
        self._one_at_a_time = asyncio.Lock()
        self._gathering: tuple[list[Q], asyncio.Task[Sequence[A]]] | None = None

    async def ask(self, question: Q) -> A:
        """The question's own answer. Raises whatever its round failed with."""
        if self._gathering is None:
            questions: list[Q] = []
            task = asyncio.create_task(self._round(questions))
            task.add_done_callback(_retrieve_error)
            self._gathering = questions, task
        questions, answers = self._gathering
        questions.append(question)
        index = len(questions) - 1
        return (await asyncio.shield(answers))[index]

    async def _round(self, questions: list[Q]) -> Sequence[A]:
        async with self._one_at_a_time:
            self._gathering = None  # before the round starts: who asks from here on must not get what it finds
            try:
                async with asyncio.timeout(self._round_seconds_max):
                    return await self._answer(questions)
            except TimeoutError as error:
                raise StorageUnavailable from error


def _retrieve_error(task: "asyncio.Task[Sequence[A]]") -> None:
    """Where every caller has given up, nobody else looks at it, and asyncio would complain."""
    if not task.cancelled():
        task.exception()
