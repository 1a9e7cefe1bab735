"""Where a worker is cancelled, nobody waits for ever, and everybody is told what is known."""

import asyncio
from collections.abc import Sequence

import pytest

from core.errors import StorageUnavailable
from infrastructure.batching.group_commit import ANSWERED_AT_ONCE, GroupCommit
from tests.unit.fakes.batches import FakeUseCase, started, turns, worker_among


async def test_where_the_worker_is_cancelled_nobody_waits_for_ever() -> None:
    def cancelled(commands: Sequence[str]) -> None:
        raise asyncio.CancelledError

    group = GroupCommit(FakeUseCase(cancelled))
    calls = started(group.execute([command]) for command in "abc")
    outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
    assert [type(outcome) for outcome in outcomes] == 3 * [StorageUnavailable]


async def test_where_the_worker_is_cancelled_in_the_middle_of_a_batch_those_who_wait_behind_it_are_told_that_nothing_was_done() -> None:
    use_case = FakeUseCase()
    use_case.door.clear()
    group = GroupCommit(use_case)
    others = asyncio.all_tasks()
    (under_way,) = started([group.execute(["a"])])
    await turns()
    waiting = started([group.execute(["b"]), group.execute(["c", "d"])])
    await turns()
    worker_among(others, but=[under_way, *waiting]).cancel()
    outcomes = await asyncio.wait_for(asyncio.gather(under_way, *waiting, return_exceptions=True), 1)
    assert [type(outcome) for outcome in outcomes] == 3 * [StorageUnavailable]
    assert [outcome.outcome_unknown for outcome in outcomes] == [True, False, False]
    assert use_case.batches == [["a"]]


async def test_where_the_worker_is_cancelled_before_it_begins_nobody_waits_for_ever() -> None:
    use_case = FakeUseCase()
    group = GroupCommit(use_case)
    others = asyncio.all_tasks()
    calls = started(group.execute([command]) for command in "ab")
    await asyncio.sleep(0)
    worker_among(others, but=calls).cancel()
    outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 1)
    assert [(type(outcome), outcome.outcome_unknown) for outcome in outcomes] == 2 * [(StorageUnavailable, False)]
    assert use_case.batches == []


@pytest.mark.parametrize("turns_before", range(4))
async def test_after_a_worker_was_cancelled_the_next_call_is_carried_out_and_draining_ends(turns_before: int) -> None:
    use_case = FakeUseCase()
    use_case.door.clear()
    group = GroupCommit(use_case, queue_size_max=2)
    others = asyncio.all_tasks()
    calls = started(group.execute([command]) for command in "ab")
    await asyncio.sleep(0)
    worker = worker_among(others, but=calls)
    await turns(turns_before)
    worker.cancel()
    await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 1)
    use_case.door.set()
    assert await asyncio.wait_for(group.execute(["c", "d"]), 1) == ["C", "D"], "and nothing of the queue's size is lost"
    await asyncio.wait_for(group.drain(), 1)


async def test_what_was_carried_out_before_the_worker_was_cancelled_is_answered() -> None:
    """A batch that failed as a whole is carried out in halves: the first one stands when the second one is cancelled."""
    half = 3 * ANSWERED_AT_ONCE

    def failing_then_cancelled(commands: Sequence[str]) -> None:
        if len(commands) == 2 * half:
            raise ValueError("poison")
        if str(half) in commands:
            raise asyncio.CancelledError

    group = GroupCommit(FakeUseCase(failing_then_cancelled))
    calls = started(group.execute([str(n)]) for n in range(2 * half))
    outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 1)
    assert outcomes[:half] == [[str(n)] for n in range(half)]
    assert [(type(outcome), outcome.outcome_unknown) for outcome in outcomes[half:]] == half * [(StorageUnavailable, True)]
