"""Drift that something else than the engine made is found where it is, mended once, and never confused with work in progress."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest

from core.metering.grants import GrantKind
from core.metering.issue_grant import IssueGrantCommand
from core.reconciliation.drift import Drift
from core.sessions.complete_session import CompleteSessionCommand
from tests.integration.drifting import AUGUST, NOVEMBER, OCTOBER, Behind, create_session, repair
from tests.integration.in_process import NOW, Engine, consume, engine_on, record
from tests.integration.service import tollgate
from tests.unit.fakes.calls import calls


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def acme(engine: Engine) -> str:
    return await engine.customer("acme", sessions=100, minutes=500, ai_runs=None)


@pytest.fixture
def database(database_url: str) -> Behind:
    return Behind(database_url)


async def test_where_nothing_went_wrong_nothing_is_found(engine: Engine, acme: str) -> None:
    session = await create_session(engine, acme)
    await engine.container.complete_session().execute(
        calls(CompleteSessionCommand(customer_id=acme, session_id=session.id, duration_seconds=1830, recorded_by="test"))
    )
    await engine.container.consume_usage().execute(calls(consume(acme, "ai_runs", 5), record(acme, "minutes", occurred_at=OCTOBER.start)))
    assert await engine.drift(acme) == []


async def test_a_counter_that_was_tampered_with_is_rebuilt(engine: Engine, acme: str, database: Behind) -> None:
    await engine.container.consume_usage().execute(calls(consume(acme, "ai_runs", 3)))
    await database.change("UPDATE usage_counter SET used = 7 WHERE customer_id = $1", acme)
    assert await engine.drift(acme) == [Drift(acme, "ai_runs", NOVEMBER, "counter", recorded=7, expected=3)]
    assert await repair(engine, acme) == 0
    assert (await engine.balance(acme, "ai_runs")).used == 3
    assert await engine.drift(acme) == []


async def test_a_counter_of_a_period_that_is_over_is_found_in_that_period(engine: Engine, acme: str, database: Behind) -> None:
    await engine.container.consume_usage().execute(calls(consume(acme, "ai_runs", 3)))
    await database.change("UPDATE usage_counter SET used = 1 WHERE customer_id = $1", acme)
    engine.now = NOVEMBER.end + timedelta(days=3)
    assert await engine.drift(acme) == [Drift(acme, "ai_runs", NOVEMBER, "counter", recorded=1, expected=3)]
    await repair(engine, acme)
    assert (await engine.balance(acme, "ai_runs")).used == 0
    assert await engine.drift(acme) == []


@pytest.mark.parametrize(
    "tampered",
    [
        "UPDATE grant_entry SET quantity = quantity + 1 WHERE customer_id = $1",
        "DELETE FROM grant_entry WHERE customer_id = $1",
        "UPDATE usage_counter SET funds = NULL WHERE customer_id = $1",
        "UPDATE usage_counter SET funds = jsonb_set(CAST(funds AS jsonb), '{burnt}', '1') WHERE customer_id = $1",
        "UPDATE usage_counter SET funds = jsonb_set(CAST(funds AS jsonb), '{sources,1,1}', '5') WHERE customer_id = $1",
    ],
)
async def test_grants_that_were_tampered_with_are_found_and_replayed(engine: Engine, acme: str, database: Behind, tampered: str) -> None:
    grant = IssueGrantCommand(customer_id=acme, feature="sessions", quantity=Decimal(20), kind=GrantKind.PAID, created_by="test")
    await engine.container.issue_grant().execute(calls(grant))
    await engine.container.consume_usage().execute(calls(*(consume(acme, "sessions", 51) for _ in range(2))))
    assert await engine.drift(acme) == []
    await database.change(tampered, acme)
    (found,) = await engine.drift(acme)
    assert (found.where, found.feature, found.period, found.expected) == ("grants", "sessions", NOVEMBER, 2)
    assert await repair(engine, acme) == 0
    assert await engine.drift(acme) == []
    balance = await engine.balance(acme, "sessions")
    assert (balance.granted, balance.remaining) == (18, 18)


async def test_what_the_clock_has_brought_about_and_nobody_has_looked_at_is_no_drift(engine: Engine, acme: str) -> None:
    await engine.container.consume_usage().execute(calls(record(acme, "sessions", 110, occurred_at=engine.now)))
    grant = IssueGrantCommand(
        customer_id=acme,
        feature="sessions",
        quantity=Decimal(20),
        kind=GrantKind.PAID,
        effective_at=engine.now + timedelta(hours=1),
        created_by="test",
    )
    await engine.container.issue_grant().execute(calls(grant))
    engine.now += timedelta(hours=2)
    assert await engine.drift(acme) == []
    assert (await engine.balance(acme, "sessions")).remaining == 10


async def test_a_process_whose_clock_is_behind_takes_nothing_back_that_a_grant_has_covered(
    engine: Engine, acme: str, database: Behind
) -> None:
    await engine.container.consume_usage().execute(calls(record(acme, "sessions", 110, occurred_at=engine.now - timedelta(hours=1))))
    grant = IssueGrantCommand(customer_id=acme, feature="sessions", quantity=Decimal(20), kind=GrantKind.PAID, created_by="test")
    await engine.container.issue_grant().execute(calls(grant))
    engine.now -= timedelta(seconds=1)
    (consumed,) = await engine.container.consume_usage().execute(calls(consume(acme, "sessions", 4)))
    assert consumed.balances["sessions"].remaining == 6
    entries = await database.change("SELECT kind, quantity FROM grant_entry WHERE customer_id = $1 ORDER BY id", acme)
    assert [(entry["kind"], entry["quantity"]) for entry in entries] == [("burn", 10), ("burn", 4)]
    assert await engine.drift(acme) == []


async def test_sessions_that_were_not_booked_are_booked_in_the_periods_in_which_they_took_place(
    engine: Engine, acme: str, database: Behind
) -> None:
    this, earlier, long_ago = NOVEMBER.start, OCTOBER.end - timedelta(microseconds=1), AUGUST.start + timedelta(days=9)
    assert NOW - long_ago > timedelta(days=35)
    ids = [await database.session(acme, at, seconds=90) for at in (long_ago, earlier, this, this)]
    await engine.container.consume_usage().execute(calls(*(record(acme, "sessions", 5, occurred_at=at) for at in (earlier, this))))
    drift = {(item.feature, item.period): (item.where, item.recorded, item.expected) for item in await engine.drift(acme)}
    assert drift == {
        ("sessions", NOVEMBER): ("ledger", 5, 7),
        ("sessions", OCTOBER): ("ledger", 5, 6),
        ("sessions", AUGUST): ("ledger", 0, 1),
        ("minutes", NOVEMBER): ("ledger", 0, 180),
        ("minutes", OCTOBER): ("ledger", 0, 90),
        ("minutes", AUGUST): ("ledger", 0, 90),
    }
    assert await repair(engine, acme) == 8
    assert await engine.drift(acme) == []
    booked = [entry for entry in await database.ledger(acme, "sessions") if entry[3] == "reconcile"]
    assert [(quantity, at) for quantity, at, _, _ in booked] == [(1, at) for at in (long_ago, earlier, this, this)]
    assert {reference for _, _, reference, _ in booked} == set(ids)
    assert [(await engine.balance(acme, feature)).used for feature in ("sessions", "minutes")] == [7, 180]


async def test_what_is_booked_of_it_already_is_not_booked_again(engine: Engine, acme: str, database: Behind) -> None:
    session = await create_session(engine, acme)
    await database.change(
        "UPDATE coaching_session SET status = 'completed', duration_seconds = 60, finished_at = $2 WHERE customer_id = $1", acme, NOW
    )
    assert await engine.drift(acme) == [Drift(acme, "minutes", NOVEMBER, "ledger", recorded=0, expected=60)]
    assert await repair(engine, acme) == 1
    assert await database.ledger(acme, "minutes") == [(60, NOW, str(session.id), "reconcile")]
    assert len(await database.ledger(acme, "sessions")) == 1


async def test_a_ledger_record_that_was_deleted_is_missed_by_its_counter_and_by_its_session(
    engine: Engine, acme: str, database: Behind
) -> None:
    await create_session(engine, acme)
    await create_session(engine, acme)
    await database.change("DELETE FROM usage_record WHERE id = (SELECT id FROM usage_record WHERE customer_id = $1 LIMIT 1)", acme)
    found = await engine.drift(acme)
    assert [(item.where, item.recorded, item.expected) for item in found] == [("counter", 2, 1), ("ledger", 2, 3)]
    assert await repair(engine, acme) == 1
    assert len(await database.ledger(acme, "sessions")) == 2
    assert (await engine.balance(acme, "sessions")).used == 2
    assert await engine.drift(acme) == []


async def test_a_record_without_a_product_that_was_deleted_cannot_be_known_and_the_counter_follows_the_ledger(
    engine: Engine, acme: str, database: Behind
) -> None:
    await engine.container.consume_usage().execute(calls(consume(acme, "ai_runs", 3), consume(acme, "ai_runs", 4)))
    await database.change("DELETE FROM usage_record WHERE customer_id = $1 AND quantity = 3", acme)
    assert await engine.drift(acme) == [Drift(acme, "ai_runs", NOVEMBER, "counter", recorded=7, expected=4)]
    assert await repair(engine, acme) == 0
    assert (await engine.balance(acme, "ai_runs")).used == 4


async def test_what_was_booked_twice_is_taken_back(engine: Engine, acme: str, database: Behind) -> None:
    await create_session(engine, acme)
    await database.change(
        """
        INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, reference, overage)
        SELECT customer_id, gen_random_uuid(), feature, quantity, occurred_at, recorded_at, source, reference, 0 FROM usage_record
        """
    )
    found = {item.where: (item.recorded, item.expected) for item in await engine.drift(acme)}
    assert found["counter"] == (1, 2)
    assert found["ledger"][1] - found["ledger"][0] == -1
    assert await repair(engine, acme) == 1
    assert sorted(quantity for quantity, _, _, _ in await database.ledger(acme, "sessions")) == [-1, 1, 1]
    assert (await engine.balance(acme, "sessions")).used == 1
    assert await engine.drift(acme) == []


async def test_repairing_the_same_drift_twice_at_once_over_two_processes_books_it_once(
    engine: Engine, acme: str, database: Behind, database_url: str
) -> None:
    await database.session(acme, NOW)
    async with engine_on(database_url) as other:
        use_cases = [engine.container.reconcile(), other.container.reconcile()] * 3
        drift = await engine.drift(acme)
        assert sum(await asyncio.gather(*(use_case.repair(drift) for use_case in use_cases))) == 2
    assert len(await database.ledger(acme, "sessions")) == len(await database.ledger(acme, "minutes")) == 1
    assert await engine.drift(acme) == []


async def test_usage_of_a_feature_that_the_plan_has_lost_is_reconciled_too(engine: Engine, acme: str, database: Behind) -> None:
    await engine.customer(acme, ai_runs=10)
    await database.session(acme, NOW)
    assert {item.feature: item.expected for item in await engine.drift(acme)} == {"sessions": 1, "minutes": 90}
    assert await repair(engine, acme) == 2
    assert (await engine.balance(acme, "sessions")).overage == 1


async def test_customers_are_looked_at_page_by_page_and_none_is_left_out(engine: Engine, database: Behind) -> None:
    first = await engine.customer("customer-000", ai_runs=10)
    await database.change(
        """
        INSERT INTO customer SELECT 'customer-' || to_char(n, 'FM000'), plan_key, plan_version, billing_anchor, billing_interval, time_zone,
            phone_region, created_at, updated_at FROM customer, generate_series(1, 449) AS n WHERE customer_id = $1
        """,
        first,
    )
    use_case = engine.container.reconcile()
    pages = [page async for page in use_case.customers()]
    assert [id for page in pages for id in page] == [f"customer-{n:03}" for n in range(450)]
    assert len(pages) > 1
    assert await use_case.count() == 450


async def test_work_in_progress_is_never_taken_for_drift(engine: Engine, acme: str, database_url: str) -> None:
    engine.now = None
    going_on = True
    async with engine_on(database_url, now=None) as other:
        booked = 0

        async def work(worker: Engine) -> None:
            nonlocal booked
            while going_on:
                session = await create_session(worker, acme)
                late = record(acme, "ai_runs", occurred_at=worker.time() - timedelta(days=34))
                await worker.container.consume_usage().execute(calls(consume(acme, "ai_runs"), late))
                await worker.container.complete_session().execute(
                    calls(CompleteSessionCommand(customer_id=acme, session_id=session.id, duration_seconds=7, recorded_by="test"))
                )
                booked += 1

        workers = [asyncio.create_task(work(worker)) for worker in (engine, other) for _ in range(4)]
        await engine.customer(acme, sessions=None, minutes=None, ai_runs=None)
        looked = []
        while len(looked) < 150 or booked <= 20:
            looked.append(await engine.drift(acme))
        going_on = False
        await asyncio.gather(*workers)
    assert [drift for drift in looked if drift] == []
    assert await engine.drift(acme) == []


def test_the_command_prints_a_table_and_exits_1_until_it_is_mended(database_url: str) -> None:
    database, acme, globex = Behind(database_url), "acme", "globex"

    async def prepare() -> None:
        async with engine_on(database_url) as engine:
            for id in (acme, globex):
                await engine.customer(id, sessions=100, minutes=500)
            await engine.container.consume_usage().execute(calls(consume(globex, "minutes", 3)))
        await database.session(acme, OCTOBER.start, seconds=1830)
        await database.change("UPDATE usage_counter SET used = 60 WHERE customer_id = $1", globex)

    asyncio.run(prepare())

    def reconcile(*arguments: str) -> tuple[int, str]:
        ended = tollgate("reconcile", *arguments, database_url=database_url)
        return ended.returncode, ended.stdout

    status, table = reconcile()
    assert status == 1
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    october, november = "2026-10-01T00:00:00+00:00 to 2026-11-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00 to 2026-12-01T00:00:00+00:00"
    assert sorted(rows) == [
        ["acme", "minutes", october, "ledger", "0", "30.5", "30.5"],
        ["acme", "sessions", october, "ledger", "0", "1", "1"],
        ["globex", "minutes", november, "counter", "1", "3", "2"],
    ]
    status, mended = reconcile("--customer", acme, "--repair")
    assert status == 1
    assert "2 ledger records written with the reason 'reconcile'" in mended
    assert "globex" not in mended
    assert reconcile("--customer", acme) == (0, "Product records, ledger and counters agree.\n")
    assert reconcile("--repair")[0] == 1
    assert reconcile() == (0, "Product records, ledger and counters agree.\n")
