"""Group commit over PostgreSQL: shared transactions, and what happens to them when a command, a lock or a connection fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from api.container import drained
from core.errors import ConcurrentUpdate, StorageUnavailable
from core.metering.balance import Amount
from core.metering.consume_usage import Consumed, ConsumeUsage
from core.metering.idempotency import IdempotencyKeyReused, Replay
from core.metering.ingest_events import IngestEventCommand
from core.metering.ledger import Origin
from core.metering.use_case import Call
from core.plans.features import Feature
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.pool import create_engine
from tests.integration.in_process import Engine, consume, engine_on, record
from tests.unit.fakes.calls import calls

ONE = Decimal(1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def database(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def lock_held(database: Any, customer_id: str) -> AsyncIterator[None]:
    """Somebody else is at work on the customer's counters."""
    async with database.transaction():
        await database.execute("SELECT 1 FROM usage_counter WHERE customer_id = $1 FOR UPDATE", customer_id)
        yield


async def waiting(database_url: str, calls: int) -> list[int]:
    """The server processes of those who wait for a lock, once there are so many."""
    connection = await asyncpg.connect(database_url)
    try:
        while True:
            rows = await connection.fetch(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if len(rows) == calls:
                return [row["pid"] for row in rows]
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def consumed(engine: Engine, *commands: Any) -> list[Any]:
    """The outcomes of calls that come in at the same time, each with one command; an exception is one, too."""
    use_case = engine.container.consume_usage()
    results = await asyncio.gather(*(use_case.execute(calls(command)) for command in commands), return_exceptions=True)
    return [result if isinstance(result, BaseException) else result[0] for result in results]


def started(call: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(call)


async def test_concurrent_calls_share_transactions(engine: Engine, database: Any) -> None:
    acme = await engine.customer(calls=1000)
    outcomes = await consumed(engine, *(consume(acme, "calls") for _ in range(200)))
    assert [outcome.balances["calls"].used for outcome in outcomes] == list(range(1, 201))
    assert await database.fetchval("SELECT count(DISTINCT xmin::text) FROM usage_record") <= 3


async def test_a_command_that_the_database_cannot_take_fails_alone(engine: Engine, database: Any) -> None:
    acme, globex = await engine.customer(calls=100), await engine.customer(calls=100)
    commands = [consume((acme, globex)[n % 2], "calls") for n in range(40)]
    commands[17] = Call(commands[17].command._replace(origin=Origin("test", reference="no \x00 in a text")))
    outcomes = await consumed(engine, *commands)
    assert [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Consumed)] == [17]
    assert [(await engine.balance(id, "calls")).used for id in (acme, globex)] == [20, 19]
    assert await engine.drift(acme, globex) == []


async def test_transactions_over_many_customers_in_any_order_never_wait_in_a_circle(engine: Engine, database_url: str) -> None:
    """Without group commit's second attempts: a deadlock would be seen as a ConcurrentUpdate."""
    customers = [await engine.customer(f"customer {n}", calls=None, seats=None) for n in range(12)]
    async with engine_on(database_url) as other:

        async def work(worker: Engine, choice: Random) -> None:
            use_case = ConsumeUsage(worker.container.unit_of_work, worker.time)
            for _ in range(8):
                order = choice.sample(customers, len(customers))
                features = choice.sample(["calls", "seats"], 2)
                amounts = [Amount(feature, ONE) for feature in features]
                await use_case.execute(calls(*(consume(id, "calls").command._replace(amounts=amounts) for id in order)))

        await asyncio.gather(*(work((engine, other)[n % 2], Random(n)) for n in range(6)))
    assert {(await engine.balance(id, "seats")).used for id in customers} == {48}


async def test_a_race_that_was_lost_in_the_database_is_run_again_and_nobody_notices(engine: Engine, database_url: str) -> None:
    """The same event as usage of another feature: no lock is shared, so only the ledger's constraint tells them apart."""
    acme = await engine.customer(calls=None, seats=None)
    async with engine_on(database_url) as other:
        workers = [(engine.container.ingest_events(), "calls"), (other.container.ingest_events(), "seats")]
        for n in range(10):
            events = [
                (
                    use_case,
                    IngestEventCommand(
                        customer_id=acme, amounts=[Amount(feature, ONE)], source="meter", event_id=f"{n}", recorded_by="test"
                    ),
                )
                for use_case, feature in workers
            ]
            outcomes = await asyncio.gather(*(use_case.execute(calls(event)) for use_case, event in events * 5))
            assert [outcome for (outcome,) in outcomes].count(True) == 1
    assert sum([(await engine.balance(acme, feature)).used for feature in ("calls", "seats")]) == 10


async def test_a_key_that_is_used_at_once_for_different_features_takes_one_effect(engine: Engine, database_url: str) -> None:
    """Again no lock is shared: only the key's own constraint tells them apart."""
    acme = await engine.customer(calls=None, seats=None)
    async with engine_on(database_url) as other:
        workers = [(engine.container.consume_usage(), "calls"), (other.container.consume_usage(), "seats")]
        for n in range(10):
            commands = [(use_case, consume(acme, feature, key=f"key {n}")) for use_case, feature in workers]
            outcomes = await asyncio.gather(*(use_case.execute(calls(command)) for use_case, command in commands * 5))
            kinds = Counter(type(outcome) for (outcome,) in outcomes)
            assert (kinds[Consumed], kinds[Replay], kinds[IdempotencyKeyReused]) == (1, 4, 5)
    assert sum([(await engine.balance(acme, feature)).used for feature in ("calls", "seats")]) == 10


async def test_a_feature_and_a_customer_that_come_to_be_while_a_lock_is_waited_for_are_seen(
    engine: Engine, database: Any, database_url: str
) -> None:
    acme = await engine.customer(calls=None)
    await consumed(engine, consume(acme, "calls"))
    both = record(acme, "calls").command._replace(amounts=[Amount("calls", ONE), Amount("new_feature", ONE)])
    use_case = engine.container.consume_usage()

    async with lock_held(database, acme):
        of_the_feature = started(use_case.execute(calls(both)))
        await waiting(database_url, calls=1)
        await engine.container.declare_feature().execute(Feature("new_feature", "unit", 1))
    (booked,) = await of_the_feature
    async with lock_held(database, acme):
        of_the_customer = started(use_case.execute(calls(consume(acme, "calls"), consume("zed", "calls"))))
        await waiting(database_url, calls=1)
        await engine.customer("zed", calls=None)
    outcomes = await of_the_customer

    assert isinstance(booked, Consumed)
    assert all(isinstance(outcome, Consumed) for outcome in outcomes)
    assert [(await engine.balance(id, "calls")).used for id in (acme, "zed")] == [3, 1]


async def test_a_lone_command_sees_a_customer_that_comes_to_be_while_it_waits(engine: Engine, database: Any, database_url: str) -> None:
    acme = await engine.customer(calls=None)
    await consumed(engine, consume(acme, "calls"))
    alone = ConsumeUsage(engine.container.unit_of_work, engine.time)

    async with lock_held(database, acme):
        call = started(alone.execute(calls(consume(acme, "calls"), consume("zed", "calls"))))
        await waiting(database_url, calls=1)
        await engine.customer("zed", calls=None)

    with pytest.raises(ConcurrentUpdate):
        await call
    assert [(await engine.balance(id, "calls")).used for id in (acme, "zed")] == [1, 0]


async def test_a_connection_that_sqlalchemy_has_worked_with_goes_back_to_its_pool_and_others_are_kept(database_url: str) -> None:
    engine = create_engine(database_url)
    connections = Connections(engine)
    plain, _ = await connections.take(lambda live: live.driver.execute("SELECT 1"))
    await connections.give_back(plain)
    again, _ = await connections.take(lambda live: live.driver.execute("SELECT 1"))
    await again.connection.execute(text("SELECT 1"))
    await connections.give_back(again)
    another, _ = await connections.take(lambda live: live.driver.execute("SELECT 1"))
    await connections.close()
    await connections.give_back(another)

    assert again is plain
    assert another is not again
    assert [live.connection.closed for live in (again, another)] == [True, True]
    await engine.dispose()


async def test_a_transaction_that_waits_holds_up_its_own_process_only_until_it_is_done(
    engine: Engine, database: Any, database_url: str
) -> None:
    acme = await engine.customer(calls=100)
    await consumed(engine, consume(acme, "calls"))
    async with lock_held(database, acme):
        calls = started(consumed(engine, *(consume(acme, "calls") for _ in range(50))))
        await waiting(database_url, calls=1)
        await asyncio.sleep(0.1)
        assert not calls.done()
    assert all(isinstance(outcome, Consumed) for outcome in await calls)
    assert (await engine.balance(acme, "calls")).used == 51


async def test_where_the_connection_breaks_everyone_of_its_transaction_is_told_and_nothing_is_booked(
    engine: Engine, database: Any, database_url: str
) -> None:
    acme = await engine.customer(calls=100)
    await consumed(engine, consume(acme, "calls"))
    async with lock_held(database, acme):
        calls = started(consumed(engine, *(consume(acme, "calls") for _ in range(20))))
        (broken,) = await waiting(database_url, calls=1)
        assert await database.fetchval("SELECT pg_terminate_backend($1)", broken)
        outcomes = await calls
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    assert not any(outcome.outcome_unknown for outcome in outcomes)
    assert (await engine.balance(acme, "calls")).used == 1
    assert isinstance((await consumed(engine, consume(acme, "calls")))[0], Consumed)


async def test_a_caller_that_goes_away_leaves_its_transaction_to_the_others(engine: Engine, database: Any, database_url: str) -> None:
    acme = await engine.customer(calls=100)
    await consumed(engine, consume(acme, "calls"))
    use_case = engine.container.consume_usage()
    async with lock_held(database, acme):
        first = [asyncio.create_task(use_case.execute(calls(consume(acme, "calls")))) for _ in range(10)]
        await waiting(database_url, calls=1)
        later = [asyncio.create_task(use_case.execute(calls(record(acme, "calls")))) for _ in range(10)]
        await asyncio.sleep(0.05)
        for call in (*first[::2], *later[::2]):
            call.cancel()
        await asyncio.sleep(0.05)
    stayed = await asyncio.gather(*first[1::2], *later[1::2])
    assert all(isinstance(outcome, Consumed) for (outcome,) in stayed)
    await drained(engine.container)
    assert (await engine.balance(acme, "calls")).used == 1 + 10 + 5
    assert await engine.drift(acme) == []
