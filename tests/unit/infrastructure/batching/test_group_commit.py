"""Concurrent commands share a batch, and none of them suffers for it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest
from pytest_mock import MockerFixture

from core.errors import BrokenCommand, ConcurrentUpdate, DomainError, Overloaded, StorageUnavailable
from infrastructure.batching import group_commit, retries
from infrastructure.batching.group_commit import ANSWERED_AT_ONCE, GroupCommit


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


async def test_a_lone_command_is_carried_out_at_once(mocker: MockerFixture) -> None:
    sleep = mocker.spy(group_commit.asyncio, "sleep")
    use_case = FakeUseCase()
    assert await GroupCommit(use_case).execute(["a"]) == ["A"]
    assert use_case.batches == [["a"]]
    sleep.assert_not_called()


async def test_what_arrives_during_a_batch_shares_the_next_one() -> None:
    use_case = FakeUseCase()
    use_case.door.clear()
    group = GroupCommit(use_case)
    calls = started(group.execute([command]) for command in "a")
    await turns()
    calls += started(group.execute([command]) for command in "bcd")
    await turns()
    use_case.door.set()
    assert await asyncio.gather(*calls) == [["A"], ["B"], ["C"], ["D"]]
    assert use_case.batches == [["a"], ["b", "c", "d"]]


async def test_commands_are_carried_out_in_the_order_in_which_they_came() -> None:
    use_case = FakeUseCase()
    group = GroupCommit(use_case, batch_size_max=3)
    calls = started([group.execute(["a"]), group.execute(["b", "c", "d", "e"]), group.execute(["f", "g"]), group.execute(["h", "i"])])
    assert await asyncio.gather(*calls) == [["A"], ["B", "C", "D", "E"], ["F", "G"], ["H", "I"]]
    assert use_case.batches == [["a"], ["b", "c", "d", "e"], ["f", "g"], ["h", "i"]], "at most three, and a larger call alone"


async def test_where_many_wait_for_answers_more_of_them_get_theirs_in_a_turn() -> None:
    group = GroupCommit(FakeUseCase())
    calls = started(group.execute([str(n)]) for n in range(100 * ANSWERED_AT_ONCE))
    await turns(3 + 4 * ANSWERED_AT_ONCE)
    assert all(call.done() for call in calls)


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


def worker_among(before: "set[asyncio.Task[Any]]", but: "Iterable[asyncio.Future[Any]]") -> "asyncio.Task[Any]":
    """The one task that has been started since, besides these."""
    (worker,) = asyncio.all_tasks() - before - set(but)
    return worker


async def test_only_one_batch_is_under_way_at_a_time() -> None:
    under_way = [0, 0]

    class SlowUseCase(FakeUseCase):
        async def execute(self, commands: Sequence[str]) -> Sequence[str | DomainError]:
            under_way[0] += 1
            under_way[1] = max(under_way)
            await turns(3)
            under_way[0] -= 1
            return await super().execute(commands)

    group = GroupCommit(SlowUseCase())

    async def call(n: int) -> None:
        await turns(n)
        await group.execute([str(n)])

    await asyncio.gather(*(call(n) for n in range(10)))
    assert under_way[1] == 1


async def test_a_refusal_is_an_answer_and_none_of_its_neighbours_business() -> None:
    a, refused, b = await GroupCommit(FakeUseCase()).execute(["a", "refused", "b"])
    assert (a, type(refused), b) == ("A", Refusal, "B")


async def test_more_than_the_queue_holds_is_turned_away_at_once() -> None:
    use_case = FakeUseCase()
    use_case.door.clear()
    group = GroupCommit(use_case, queue_size_max=3)
    under_way = started([group.execute(["a"])])
    await turns()
    waiting = started([group.execute(["b", "c"])])
    await turns()
    with pytest.raises(Overloaded):
        await asyncio.wait_for(group.execute(["d", "e"]), 10)
    waiting += started([group.execute(["f"])])
    await turns()
    use_case.door.set()
    assert await asyncio.gather(*under_way, *waiting) == [["A"], ["B", "C"], ["F"]]
    assert await group.execute(["g"]) == ["G"]


async def test_a_caller_that_goes_away_does_not_disturb_its_batch() -> None:
    use_case = FakeUseCase()
    use_case.door.clear()
    group = GroupCommit(use_case)
    first, second, third = started([group.execute(["a", "b"]), group.execute(["c"]), group.execute(["d"])])
    await turns()
    first.cancel()
    second.cancel()
    await turns()
    use_case.door.set()
    assert await third == ["D"]
    assert use_case.carried_out == list("abcd")


async def test_where_all_callers_have_gone_away_nothing_is_carried_out() -> None:
    use_case = FakeUseCase()
    group = GroupCommit(use_case)
    calls = started(group.execute([command]) for command in "ab")
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await turns()
    assert use_case.batches == []
    assert await group.execute(["c"]) == ["C"]


async def test_a_caller_that_goes_away_before_its_batch_is_not_carried_out() -> None:
    use_case = FakeUseCase()
    use_case.door.clear()
    group = GroupCommit(use_case)
    (first,) = started([group.execute(["a"])])
    await turns()
    second, third = started([group.execute(["b", "c"]), group.execute(["d"])])
    await turns()
    second.cancel()
    await turns()
    use_case.door.set()
    assert await asyncio.gather(first, third) == [["A"], ["D"]]
    assert use_case.batches == [["a"], ["d"]]


async def test_a_poisoned_command_fails_alone() -> None:
    use_case = FakeUseCase(failing(ValueError("poison"), with_="f"))
    group = GroupCommit(use_case)
    outcomes = await asyncio.gather(*(group.execute([command]) for command in "abcdefgh"), return_exceptions=True)
    assert [repr(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == ["ValueError('poison')"]
    assert use_case.carried_out == list("abcdegh")


async def test_among_others_of_its_call_a_poisoned_command_is_the_only_one_that_is_broken() -> None:
    use_case = FakeUseCase(failing(ValueError("poison"), with_="c"))
    a, b, broken, d, e = await GroupCommit(use_case).execute(list("abcde"))
    assert (a, b, type(broken), d, e) == ("A", "B", BrokenCommand, "D", "E")
    assert use_case.carried_out == list("abde")


async def test_a_lost_race_is_run_again_and_nobody_notices() -> None:
    use_case = FakeUseCase(failing(ConcurrentUpdate(), with_="a", times=3))
    assert await GroupCommit(use_case).execute(["a", "b"]) == ["A", "B"]
    assert use_case.batches == [["a", "b"]] * 4


async def test_a_command_that_loses_every_race_is_overloaded_and_its_neighbours_succeed(mocker: MockerFixture) -> None:
    mocker.patch.object(retries, "BACKOFF_SECONDS", 0.0001)
    mocker.patch.object(retries, "BACKOFF_SECONDS_MAX", 0.001)
    use_case = FakeUseCase(failing(ConcurrentUpdate(), with_="b"))
    group = GroupCommit(use_case)
    a, (b,), c, d = await asyncio.gather(*(group.execute([command]) for command in "abcd"))
    assert (a, type(b), c, d) == (["A"], Overloaded, ["C"], ["D"])


@pytest.mark.parametrize("unknown", [True, False])
async def test_where_the_database_is_away_everyone_in_the_batch_is_told_at_once(unknown: bool) -> None:
    use_case = FakeUseCase(failing(StorageUnavailable(outcome_unknown=unknown), with_="a", times=1))
    group = GroupCommit(use_case)
    calls = await asyncio.gather(*(group.execute([command]) for command in "abc"))
    assert [type(outcome) for (outcome,) in calls] == [StorageUnavailable] * 3
    assert [outcome.outcome_unknown for (outcome,) in calls] == [unknown] * 3
    assert len({id(outcome) for (outcome,) in calls}) == 3
    assert use_case.batches == [["a", "b", "c"]]
    assert await group.execute(["d"]) == ["D"]


async def test_where_no_connection_is_free_everyone_in_the_batch_is_told_at_once() -> None:
    """Taken apart, a batch would wait for a connection once for each of its commands, and hold up everyone behind it meanwhile."""
    use_case = FakeUseCase(failing(Overloaded(), with_="a"))
    group = GroupCommit(use_case)
    outcomes = await group.execute(["a", "b", "c"])
    assert [type(outcome) for outcome in outcomes] == [Overloaded] * 3
    assert use_case.batches == [["a", "b", "c"]]


async def test_a_call_of_many_commands_learns_what_was_booked_though_one_of_them_lost_every_race(mocker: MockerFixture) -> None:
    """Or its caller would be told that nothing was booked."""
    mocker.patch.object(retries, "BACKOFF_SECONDS", 0.0001)
    mocker.patch.object(retries, "BACKOFF_SECONDS_MAX", 0.001)
    a, b, c = await GroupCommit(FakeUseCase(failing(ConcurrentUpdate(), with_="b"))).execute(["a", "b", "c"])
    assert (a, type(b), c) == ("A", Overloaded, "C")


async def test_answers_are_handed_out_a_few_a_turn_in_order_and_the_next_batch_begins_meanwhile() -> None:
    use_case = FakeUseCase()
    use_case.door.clear()
    group = GroupCommit(use_case)
    answered: list[int] = []
    most_in_a_turn = 0

    async def call(n: int) -> None:
        await group.execute([str(n)])
        answered.append(n)

    first = started(call(n) for n in range(3 * ANSWERED_AT_ONCE))
    await turns()
    late = started([call(len(first))])
    await turns()
    use_case.door.set()
    while len(answered) < len(first):
        before = len(answered)
        await asyncio.sleep(0)
        most_in_a_turn = max(most_in_a_turn, len(answered) - before)
        if answered and len(answered) < len(first):
            assert len(use_case.batches) == 2
    await asyncio.gather(*first, *late)
    assert most_in_a_turn == ANSWERED_AT_ONCE
    assert answered == [*range(len(first) + 1)]


async def test_draining_waits_for_answers_too() -> None:
    group = GroupCommit(FakeUseCase())
    calls = [group.execute([str(n)]) for n in range(5 * ANSWERED_AT_ONCE)]
    answers = started(calls)
    await asyncio.sleep(0)
    await group.drain()
    await asyncio.sleep(0)
    assert all(answer.done() for answer in answers)


async def test_draining_waits_for_what_was_accepted() -> None:
    use_case = FakeUseCase()
    use_case.door.clear()
    group = GroupCommit(use_case, batch_size_max=1)
    calls = started(group.execute([command]) for command in "abc")
    await turns()
    draining = asyncio.ensure_future(group.drain())
    await turns()
    assert not draining.done()
    use_case.door.set()
    await asyncio.wait_for(draining, 10)
    assert use_case.carried_out == list("abc")
    assert await asyncio.gather(*calls) == [["A"], ["B"], ["C"]]


async def test_draining_where_nothing_waits_returns_at_once() -> None:
    draining = asyncio.ensure_future(GroupCommit(FakeUseCase()).drain())
    await turns()
    assert draining.done()
