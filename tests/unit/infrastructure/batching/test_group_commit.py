"""Concurrent commands share a batch, and none of them suffers for it."""

import asyncio
import logging
from collections.abc import Sequence
from contextvars import ContextVar

import pytest
from pytest_mock import MockerFixture

from core.errors import BrokenCommand, ConcurrentUpdate, DomainError, Overloaded, StorageUnavailable
from infrastructure.batching import group_commit, retries
from infrastructure.batching.group_commit import ANSWERED_AT_ONCE, GroupCommit
from tests.unit.fakes.batches import FakeUseCase, Refusal, failing, started, turns


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


async def test_each_failure_of_a_shared_batch_is_told_under_the_request_that_it_belongs_to(caplog: pytest.LogCaptureFixture) -> None:
    asking: ContextVar[str | None] = ContextVar("asking", default=None)
    told: list[tuple[str, str | None]] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append((record.levelname, asking.get()))

    async def ask(group: GroupCommit[str, str], name: str, *commands: str) -> object:
        asking.set(name)
        return await group.execute(commands)

    use_case = FakeUseCase(failing(ValueError("of b"), with_="b"))
    use_case.door.clear()
    group = GroupCommit(use_case)
    handler = Noting()
    logging.getLogger("tollgate").addHandler(handler)
    try:
        first = started([ask(group, "first", "x")])
        await turns()
        others = started([ask(group, "second", "a"), ask(group, "third", "b", "c")])
        await turns()
        use_case.door.set()
        await asyncio.gather(*first, *others)
    finally:
        logging.getLogger("tollgate").removeHandler(handler)

    assert told == [("WARNING", None), ("ERROR", "third")], "the batch is nobody's, the failure somebody's"
