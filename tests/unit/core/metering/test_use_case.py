"""What no command on an account may forget: the lock, the idempotency key, undoing a refusal, the commit. Shown by ConsumeUsage."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from pytest_mock import MockerFixture

from core.errors import ConcurrentUpdate, StorageUnavailable
from core.metering.account import USED_PARTS_MAX, CustomerNotFound
from core.metering.balance import Amount, LimitExceeded
from core.metering.consume_usage import Consumed, ConsumeUsage, ConsumeUsageCommand, Mode
from core.metering.idempotency import IdempotencyKeyReused, Once, Replay, ReplyKey, StoredReply
from core.metering.meters import Meter
from core.metering.use_case import Call, execute_one
from core.plans.features import InvalidQuantity
from core.plans.plan import Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, ORIGIN, PERIOD, PRO
from tests.unit.fakes.metering import Counter, FakeStore, FakeUnitOfWork

STARTER = Plan("starter", 1, "Starter", {"sessions": Metered(3)})
GLOBEX = replace(ACME, id="globex", plan_key="starter", plan_version=1)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore([PRO, STARTER], [ACME, GLOBEX])


def consume_usage(store: FakeStore, unit_of_work: Callable[[], FakeUnitOfWork] | None = None) -> ConsumeUsage:
    return ConsumeUsage(unit_of_work or store.unit_of_work, lambda: NOW)


def consume(
    quantity: int, *, customer: str = "acme", key: str | None = None, fingerprint: bytes = b"same input"
) -> Call[ConsumeUsageCommand]:
    once = Once(key, fingerprint, written_down) if key else None
    return Call(ConsumeUsageCommand(customer_id=customer, amounts=[Amount("sessions", Decimal(quantity))], origin=ORIGIN), once)


def written_down(consumed: Consumed) -> bytes:
    return f"{sum(record.quantity for record in consumed.records)} booked".encode()


def used(store: FakeStore, customer: str = "acme") -> int:
    """The ledger's sum, with which the counter has to agree."""
    total = store.used_within(customer, "sessions", PERIOD)
    assert store.counters[Meter(customer, "sessions")] == Counter(PERIOD, total)
    return total


# A list of commands is decided in order, each on its own.


async def test_commands_are_decided_in_order_and_each_sees_those_before_it(store: FakeStore) -> None:
    outcomes = await consume_usage(store).execute(calls(consume(6), consume(4), consume(1)))
    balances = [outcome.balances["sessions"].used for outcome in outcomes if isinstance(outcome, Consumed)]
    assert balances == [6, 10]
    assert isinstance(outcomes[2], LimitExceeded)
    assert used(store) == 10


async def test_a_refused_command_leaves_its_neighbours_as_they_would_be_without_it(store: FakeStore) -> None:
    first, refused, last = await consume_usage(store).execute(calls(consume(6), consume(5), consume(4)))
    assert isinstance(first, Consumed)
    assert isinstance(refused, LimitExceeded)
    assert refused.facts()["current_usage"] == 6
    assert isinstance(last, Consumed)
    assert [record.quantity for record in store.ledger] == [6, 4]
    assert used(store) == 10


async def test_a_command_that_is_refused_half_way_books_nothing(store: FakeStore) -> None:
    store.counters[Meter("acme", "ai_runs")] = Counter(PERIOD, USED_PARTS_MAX)
    one_fits = [Amount("sessions", Decimal(1)), Amount("ai_runs", Decimal(1))]
    refused, booked = await consume_usage(store).execute(
        calls(ConsumeUsageCommand(customer_id="acme", amounts=one_fits, origin=ORIGIN, mode=Mode.RECORD), consume(2))
    )
    assert isinstance(refused, InvalidQuantity)
    assert isinstance(booked, Consumed)
    assert used(store) == 2


async def test_customers_are_decided_apart_each_by_its_own_plan(store: FakeStore) -> None:
    outcomes = await consume_usage(store).execute(
        calls(consume(3), consume(3, customer="globex"), consume(4), consume(1, customer="globex"))
    )
    assert [type(outcome) for outcome in outcomes] == [Consumed, Consumed, Consumed, LimitExceeded]
    assert (used(store), used(store, "globex")) == (7, 3)


async def test_an_unknown_customer_is_told_so_and_the_others_are_served(store: FakeStore) -> None:
    unknown, served = await consume_usage(store).execute(calls(consume(1, customer="nobody"), consume(1)))
    assert isinstance(unknown, CustomerNotFound)
    assert unknown.identity == "nobody"
    assert isinstance(served, Consumed)
    assert {customer for customer, _ in store.counters} == {"acme"}


async def test_a_single_commands_refusal_is_raised(store: FakeStore) -> None:
    with pytest.raises(LimitExceeded):
        await execute_one(consume_usage(store), *consume(11))
    assert isinstance(await execute_one(consume_usage(store), *consume(10)), Consumed)


# Rule 4: every effect is idempotent by key.


async def test_the_same_key_with_the_same_input_gets_the_stored_reply_and_books_nothing(store: FakeStore) -> None:
    await execute_one(consume_usage(store), *consume(2, key="k"))
    assert await execute_one(consume_usage(store), *consume(2, key="k")) == Replay(b"2 booked")
    assert used(store) == 2


async def test_a_key_that_is_repeated_within_one_list_takes_effect_once(store: FakeStore) -> None:
    first, second = await consume_usage(store).execute(calls(consume(2, key="k"), consume(2, key="k")))
    assert isinstance(first, Consumed)
    assert second == Replay(b"2 booked")
    assert used(store) == 2


async def test_a_replay_is_answered_though_the_limit_has_been_reached_since(store: FakeStore) -> None:
    await consume_usage(store).execute(calls(consume(9, key="k"), consume(1)))
    assert await execute_one(consume_usage(store), *consume(9, key="k")) == Replay(b"9 booked")


@pytest.mark.parametrize("together", [True, False])
async def test_the_same_key_with_other_input_is_an_error_and_books_nothing(store: FakeStore, together: bool) -> None:
    commands = [consume(2, key="k"), consume(3, key="k", fingerprint=b"other input")]
    if together:
        _, outcome = await consume_usage(store).execute(calls(*commands))
    else:
        _, outcome = [(await consume_usage(store).execute(calls(command)))[0] for command in commands]
    assert isinstance(outcome, IdempotencyKeyReused)
    assert outcome.key == "k"
    assert used(store) == 2
    assert store.replies[ReplyKey("acme", "k")].reply == b"2 booked"


async def test_a_key_belongs_to_one_customer(store: FakeStore) -> None:
    outcomes = await consume_usage(store).execute(calls(consume(2, key="k"), consume(2, key="k", customer="globex")))
    assert [type(outcome) for outcome in outcomes] == [Consumed, Consumed]


async def test_a_refusal_is_not_stored_so_the_key_can_still_succeed(store: FakeStore) -> None:
    refused, booked = await consume_usage(store).execute(calls(consume(11, key="k"), consume(2, key="k", fingerprint=b"less")))
    assert isinstance(refused, LimitExceeded)
    assert isinstance(booked, Consumed)
    assert store.replies == {ReplyKey("acme", "k"): StoredReply("acme", "k", b"less", b"2 booked", NOW)}


async def test_a_command_without_a_key_stores_no_reply_and_takes_effect_each_time(store: FakeStore) -> None:
    await consume_usage(store).execute(calls(consume(1), consume(1)))
    assert store.replies == {}
    assert used(store) == 2


# One transaction: all of it is committed, or none.


async def test_a_list_of_commands_is_one_unit_of_work_that_is_committed_once(store: FakeStore, mocker: MockerFixture) -> None:
    commit = mocker.spy(FakeUnitOfWork, "commit")
    await consume_usage(store).execute(calls(consume(1, key="k"), consume(99), consume(1, customer="globex")))
    assert commit.call_count == 1
    assert [unit.committed for unit in store.opened] == [True]


async def test_the_clock_is_read_once_however_many_commands_there_are(store: FakeStore, mocker: MockerFixture) -> None:
    clock = mocker.Mock(side_effect=[NOW])
    await ConsumeUsage(store.unit_of_work, clock).execute(calls(consume(1), consume(1), consume(1, customer="globex")))
    assert {(record.occurred_at, record.recorded_at) for record in store.ledger} == {(NOW, NOW)}


async def test_nothing_is_visible_before_the_commit(store: FakeStore, mocker: MockerFixture) -> None:
    seen = []

    async def look_and_commit(uow: FakeUnitOfWork) -> None:
        seen.append((list(store.ledger), dict(store.counters), dict(store.replies)))
        await commit(uow)

    commit = FakeUnitOfWork.commit
    mocker.patch.object(FakeUnitOfWork, "commit", look_and_commit)
    await consume_usage(store).execute(calls(consume(1, key="k")))
    assert seen == [([], {}, {})]
    assert (len(store.ledger), len(store.counters), len(store.replies)) == (1, 1, 1)


@pytest.mark.parametrize("failure", [StorageUnavailable(), ConcurrentUpdate()])
async def test_where_the_commit_fails_nobody_is_told_of_success_and_nothing_is_booked(store: FakeStore, failure: Exception) -> None:
    class FailingUnitOfWork(FakeUnitOfWork):
        async def commit(self) -> None:
            raise failure

    with pytest.raises(type(failure)):
        await consume_usage(store, unit_of_work=lambda: FailingUnitOfWork(store)).execute(calls(consume(1, key="k")))
    assert (store.ledger, store.counters, store.replies) == ([], {}, {})
    assert isinstance(await execute_one(consume_usage(store), *consume(1, key="k")), Consumed)


async def test_a_key_that_another_transaction_takes_meanwhile_undoes_everything(store: FakeStore) -> None:
    taken = StoredReply("acme", "k", b"same input", b"theirs", NOW)

    class OvertakenUnitOfWork(FakeUnitOfWork):
        async def commit(self) -> None:
            store.replies[ReplyKey("acme", "k")] = taken
            await super().commit()

    with pytest.raises(ConcurrentUpdate):
        await consume_usage(store, unit_of_work=lambda: OvertakenUnitOfWork(store)).execute(calls(consume(1, key="k"), consume(1)))
    assert (store.ledger, store.replies) == ([], {ReplyKey("acme", "k"): taken})


async def test_concurrent_commands_queue_for_the_lock_and_never_overshoot(store: FakeStore) -> None:
    class SlowUnitOfWork(FakeUnitOfWork):
        async def commit(self) -> None:
            await asyncio.sleep(0)  # lets the others run between a decision and its commit
            await super().commit()

    use_case = consume_usage(store, unit_of_work=lambda: SlowUnitOfWork(store))
    outcomes = [outcome for (outcome,) in await asyncio.gather(*(use_case.execute(calls(consume(1))) for _ in range(15)))]
    assert sum(isinstance(outcome, Consumed) for outcome in outcomes) == 10
    assert used(store) == 10
