"""Questions that are asked at the same time share a round, and nobody waits for ever."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from core.errors import StorageUnavailable
from infrastructure.batching.gathering import Gathering
from tests.unit.fakes.batches import turns, worker_among


class Library:
    """Answers a question by itself in capitals, as soon as its door is open; notes each round."""

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []
        self.door = asyncio.Event()
        self.door.set()

    async def answer(self, questions: Sequence[str]) -> Sequence[str]:
        self.rounds.append(list(questions))
        await self.door.wait()
        return [question.upper() for question in questions]


def asked(gathering: Gathering[str, str], questions: str) -> "list[asyncio.Task[str]]":
    return [asyncio.ensure_future(gathering.ask(question)) for question in questions]


async def outcomes_of(calls: "list[asyncio.Task[str]]") -> list[type[Any]]:
    return [type(outcome) for outcome in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 1)]


async def test_each_question_gets_its_own_answer_and_what_is_asked_meanwhile_shares_the_next_round() -> None:
    library = Library()
    library.door.clear()
    gathering = Gathering(library.answer)
    calls = asked(gathering, "a")
    await turns()
    calls += asked(gathering, "bc")
    await turns()
    library.door.set()
    assert await asyncio.gather(*calls) == ["A", "B", "C"]
    assert library.rounds == [["a"], ["b", "c"]]


async def test_where_the_worker_is_cancelled_those_of_its_round_and_those_who_wait_for_the_next_are_told() -> None:
    library = Library()
    library.door.clear()
    gathering, others = Gathering(library.answer), asyncio.all_tasks()
    calls = asked(gathering, "ab")
    await turns()
    calls += asked(gathering, "cd")
    await turns()
    worker_among(others, but=calls).cancel()
    assert await outcomes_of(calls) == 4 * [StorageUnavailable]
    assert library.rounds == [["a", "b"]]


async def test_where_the_answer_is_cancelled_from_within_nobody_waits_for_ever() -> None:
    async def cancelled(questions: Sequence[str]) -> Sequence[str]:
        raise asyncio.CancelledError

    assert await outcomes_of(asked(Gathering(cancelled), "ab")) == 2 * [StorageUnavailable]


@pytest.mark.parametrize("turns_before", range(3))
async def test_after_a_worker_was_cancelled_at_whatever_moment_the_next_question_is_answered(turns_before: int) -> None:
    """Also before it began: then nothing of it ever runs."""
    library = Library()
    library.door.clear()
    gathering, others = Gathering(library.answer), asyncio.all_tasks()
    calls = asked(gathering, "ab")
    await asyncio.sleep(0)
    worker = worker_among(others, but=calls)
    await turns(turns_before)
    worker.cancel()
    assert await outcomes_of(calls) == 2 * [StorageUnavailable]
    library.door.set()
    assert await asyncio.wait_for(gathering.ask("c"), 1) == "C"


async def test_a_round_that_answers_too_few_questions_is_everyones_error() -> None:
    async def too_few(questions: Sequence[str]) -> Sequence[str]:
        return questions[1:]

    assert await outcomes_of(asked(Gathering(too_few), "ab")) == 2 * [ValueError]
