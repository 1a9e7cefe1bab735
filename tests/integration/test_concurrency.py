"""Many at once, over several processes and several connections: never one too many, and never one that is not counted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

import pytest

from core.customers.customer import Customer as StoredCustomer
from core.metering.balance import Amount, LimitExceeded
from core.metering.consume_usage import ConsumeUsage, ConsumeUsageCommand
from core.metering.ledger import Origin
from core.metering.meters import Meter
from core.plans.periods import Billing, Interval
from core.plans.plan import Metered, Plan
from core.products import BUILT_IN, OPTIONS
from core.sessions.features import SESSIONS
from infrastructure.ids import new_id
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.unit_of_work import SqlUnitOfWork
from infrastructure.sql.registry import REPOSITORIES
from tests.integration.coaching import Customer, at_once, days_ago
from tests.integration.service import Database, Service, refused, until
from tests.unit.fakes.calls import calls

LIMIT = 3
ORIGIN = Origin("test")


def test_64_creations_at_once_over_two_processes_with_10_left_make_exactly_10_sessions(services: tuple[Service, Service]) -> None:
    one, other = services
    customer = Customer.new(one)
    customer.has_used("sessions", 90, days_ago(1))
    responses = at_once(*[customer.create, customer.at(other).create] * 32)
    assert Counter(response.status_code for response in responses) == {201: 10, 403: 54}
    for response in responses:
        if response.status_code == 403:
            assert refused(response, 403, "session_limit_exceeded")["current_usage"] == 100
    assert customer.used("sessions") == 100
    assert len(customer.client.get("/api/v1/sessions").json()["items"]) == 10


def test_many_customers_at_once_over_two_processes_are_each_held_to_their_own_limit(services: tuple[Service, Service]) -> None:
    customers = [Customer.new(services[0], "free") for _ in range(8)]
    responses = at_once(*[customer.at(service).create for _ in range(6) for customer in customers for service in services])
    assert Counter(response.status_code for response in responses) == {201: 80, 403: 16}
    assert [customer.used("sessions") for customer in customers] == [10] * 8


def test_completions_at_once_over_two_processes_lose_none_of_their_minutes(services: tuple[Service, Service]) -> None:
    customer = Customer.new(services[0])
    ids = [customer.created() for _ in range(24)]
    completions = [partial(customer.at(services[n % 2]).complete, id, n) for n, id in enumerate(ids, 1)]
    responses = at_once(*completions)
    assert {response.status_code for response in responses} == {200}
    assert customer.used("minutes") == sum(range(1, 25))


def test_a_session_is_readable_through_another_process_the_moment_its_creation_was_answered(services: tuple[Service, Service]) -> None:
    one, other = services
    customer = Customer.new(one)
    for _ in range(20):
        id = customer.created()
        assert customer.at(other).get(id).status_code == 200
        assert customer.at(other).complete(id, 1).status_code == 200
        assert customer.get(id).json()["status"] == "completed"


def test_a_plan_change_through_one_process_binds_the_very_next_request_to_another(services: tuple[Service, Service]) -> None:
    one, other = services
    customer = Customer.new(one, "free")
    for _ in range(10):
        customer.at(other).created()
    for plan, status in (("pro", 201), ("free", 403), ("pro", 201)):
        customer.moves_to(plan)
        assert customer.at(other).create().status_code == status


UnitsOfWork = Callable[[], SqlUnitOfWork]


@pytest.fixture
async def pools(database_url: str) -> AsyncIterator[list[UnitsOfWork]]:
    """Two, as two processes have them; and a customer with three sessions."""
    engines = [create_engine(database_url) for _ in range(2)]
    connections = [Connections(engine) for engine in engines]
    pools: list[UnitsOfWork] = [partial(SqlUnitOfWork, kept, PlanCatalog(BUILT_IN, OPTIONS), new_id, REPOSITORIES) for kept in connections]
    now = datetime.now(UTC)  # noqa: TID251
    async with pools[0]() as uow:
        for key, limit in (("small", LIMIT), ("large", 100)):
            await uow.plans.publish(Plan(key, 1, key, {SESSIONS.key: Metered(limit)}))
        billing = Billing(now, Interval.MONTH, ZoneInfo("UTC"))
        uow.customers.save(StoredCustomer("ada", "small", 1, billing, created_at=now, updated_at=now))
        await uow.commit()
    yield pools
    for kept, engine in zip(connections, engines, strict=True):
        await kept.close()
        await engine.dispose()


async def consume(
    unit_of_work: UnitsOfWork, quantity: int, *, go_on: asyncio.Event | None = None, locked: asyncio.Event | None = None
) -> int:
    """What had been used before; held open, once the lock is got and all is booked, until told to go on."""
    async with unit_of_work() as uow:
        accounts = await uow.accounts.lock({"ada": {Meter("ada", SESSIONS.key)}}, at=datetime.now(UTC))  # noqa: TID251
        before = accounts["ada"].balance(SESSIONS.key).used
        if locked:
            locked.set()
        accounts["ada"].consume(SESSIONS.key, quantity, ORIGIN)
        if go_on:
            await go_on.wait()
        await uow.commit()
        return before


def until_one_waits_for_a_lock(database_url: str) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    until(lambda: Database(database_url).value(waiting), expected="a transaction that waits for a lock")


async def test_the_second_transaction_waits_for_the_firsts_lock_and_sees_what_it_booked(
    pools: list[UnitsOfWork], database_url: str
) -> None:
    locked, go_on = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(consume(pools[0], 2, go_on=go_on, locked=locked))
    await locked.wait()
    second = asyncio.create_task(consume(pools[1], 1))
    await asyncio.to_thread(until_one_waits_for_a_lock, database_url)
    assert not second.done()
    go_on.set()
    assert (await first, await second) == (0, 2)
    assert await asyncio.to_thread(Database(database_url).used, "ada", SESSIONS.key) == (3, 3)


async def test_the_second_transaction_sees_what_the_first_one_set_aside_and_the_plan_that_was_changed_while_it_waited(
    pools: list[UnitsOfWork], database_url: str
) -> None:
    async def read() -> tuple[int, str]:
        async with pools[1]() as uow:
            account = (await uow.accounts.lock({"ada": {Meter("ada", SESSIONS.key)}}, at=datetime.now(UTC)))["ada"]  # noqa: TID251
            return account.balance(SESSIONS.key).held, account.plan.key

    async with pools[0]() as uow:
        accounts = await uow.accounts.lock({"ada": {Meter("ada", SESSIONS.key)}}, at=datetime.now(UTC))  # noqa: TID251
        accounts["ada"].hold({SESSIONS.key: 2}, timedelta(hours=1))
        second = asyncio.create_task(read())
        await asyncio.to_thread(until_one_waits_for_a_lock, database_url)
        await asyncio.to_thread(Database(database_url).rows, "UPDATE customer SET plan_key = 'large' WHERE customer_id = 'ada'")
        await uow.commit()
    assert await second == (2, "large")


async def test_the_second_transaction_is_refused_where_the_first_took_what_was_left(pools: list[UnitsOfWork], database_url: str) -> None:
    locked, go_on = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(consume(pools[0], 2, go_on=go_on, locked=locked))
    await locked.wait()
    second = asyncio.create_task(consume(pools[1], 2))
    await asyncio.to_thread(until_one_waits_for_a_lock, database_url)
    go_on.set()
    assert await first == 0
    with pytest.raises(LimitExceeded) as refusal:
        await second
    assert refusal.value.facts()["current_usage"] == Decimal(2)
    assert await asyncio.to_thread(Database(database_url).used, "ada", SESSIONS.key) == (2, 2)


async def test_what_was_not_committed_was_never_booked_and_holds_nobody_up(pools: list[UnitsOfWork], database_url: str) -> None:
    locked = asyncio.Event()
    first = asyncio.create_task(consume(pools[0], 3, go_on=asyncio.Event(), locked=locked))
    await locked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await consume(pools[1], 3) == 0
    assert await asyncio.to_thread(Database(database_url).used, "ada", SESSIONS.key) == (3, 3)


async def test_twenty_use_cases_on_two_pools_take_what_there_is_and_no_more(pools: list[UnitsOfWork], database_url: str) -> None:
    def use_case(unit_of_work: UnitsOfWork) -> ConsumeUsage:
        return ConsumeUsage(unit_of_work, lambda: datetime.now(UTC))  # noqa: TID251

    command = ConsumeUsageCommand(customer_id="ada", amounts=[Amount(SESSIONS.key, Decimal(1))], origin=ORIGIN)
    outcomes = await asyncio.gather(*[use_case(pools[n % 2]).execute(calls(command)) for n in range(20)])
    assert Counter(type(outcome).__name__ for (outcome,) in outcomes) == {"Consumed": LIMIT, "LimitExceeded": 20 - LIMIT}
    assert await asyncio.to_thread(Database(database_url).used, "ada", SESSIONS.key) == (LIMIT, LIMIT)
