"""Rollups: whatever is booked, whenever and by whomever, what is read from them is the plain sum of the ledger."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from core.history.buckets import By
from core.history.read_history import HistoryQuery
from core.metering.correct_record import CorrectRecordCommand
from core.metering.meters import Meter
from core.plans.periods import Period
from core.reconciliation.drift import Drift
from infrastructure.sql.engine.cover import QUARTER, floor
from infrastructure.sql.upkeep.roll_up import OPEN_FOR, SqlRoller
from tests.integration.in_process import NOW, Engine, engine_on, record
from tests.integration.test_history import book
from tests.unit.fakes.calls import calls

DAY = timedelta(days=1)
RUNS = "ai_runs"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def acme(engine: Engine) -> str:
    return await engine.customer(ai_runs=None)


@pytest.fixture
async def behind(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def roller_of(engine: Engine, due: int = 1, span: int = 7) -> SqlRoller:
    return SqlRoller(engine.container.connections(), engine.time, uuid4, due, span)


async def roll(engine: Engine, customer_id: str) -> None:
    assert await roller_of(engine).roll(Meter(customer_id, RUNS))


async def shown(engine: Engine, customer_id: str, by: By = By.DAY) -> list[tuple[Period, int, dict[str | None, int]]]:
    query = HistoryQuery(customer_id, RUNS, by, since=NOW - 45 * DAY, until=NOW + DAY, by_dimension=True)
    items = await engine.container.read_history().execute(query)
    return [(item.period, item.standing.used, {share.dimension: share.quantity for share in item.shares}) for item in items]


async def plain(behind: Any, customer_id: str, period: Period) -> dict[str | None, int]:
    rows = await behind.fetch(
        "SELECT dimension, sum(quantity)::bigint AS q FROM usage_record WHERE customer_id = $1 AND feature = $2 "
        "AND occurred_at >= $3 AND occurred_at < $4 GROUP BY 1 HAVING sum(quantity) <> 0",
        *(customer_id, RUNS, period.start, period.end),
    )
    return {row["dimension"]: row["q"] for row in rows}


async def assert_plain_sums(engine: Engine, behind: Any, customer_id: str, by: By = By.DAY) -> None:
    for period, used, shares in await shown(engine, customer_id, by):
        expected = await plain(behind, customer_id, period)
        assert (used, shares) == (sum(expected.values()), expected), period


async def rolled_until(behind: Any, customer_id: str) -> datetime | None:
    found: datetime | None = await behind.fetchval("SELECT rolled_until FROM usage_rollup_state WHERE customer_id = $1", customer_id)
    return found


async def stale(behind: Any, customer_id: str) -> list[datetime]:
    rows = await behind.fetch("SELECT start FROM usage_rollup_stale WHERE customer_id = $1 ORDER BY start", customer_id)
    return [row["start"] for row in rows]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_in_whatever_order_sums_are_those_of_the_ledger(engine: Engine, acme: str, behind: Any, seed: int) -> None:
    """Usage of now, late usage, corrections, rounds of rolling up, and a clock that goes on."""
    chance = random.Random(seed)
    engine.now = NOW - 40 * DAY
    booked = []
    for _ in range(60):
        what = chance.choice(["now", "now", "late", "late", "correct", "roll", "roll", "later"])
        if what in ("now", "late"):
            at = engine.time() - (timedelta(seconds=chance.randrange(30 * 24 * 3600)) if what == "late" else timedelta())
            command = record(acme, RUNS, chance.randrange(1, 9), occurred_at=at).command
            (done,) = await engine.container.consume_usage().execute(calls(command))
            booked.append(done.records[0].id)
        elif what == "correct" and booked:
            command = CorrectRecordCommand(
                customer_id=acme, record_id=booked.pop(), quantity=Decimal(-1), reason="refund", recorded_by="test"
            )
            await engine.container.correct_record().execute(calls(command))
        elif what == "roll":
            await roller_of(engine).round()
        elif what == "later":
            engine.now = engine.time() + timedelta(seconds=chance.randrange(3 * 24 * 3600))
    await assert_plain_sums(engine, behind, acme)
    assert await engine.drift(acme) == []
    await roller_of(engine).round()
    await assert_plain_sums(engine, behind, acme, By.HOUR)
    assert await stale(behind, acme) == []


async def test_it_is_the_rollups_that_are_read_and_they_alone_where_all_is_rolled_up(engine: Engine, acme: str, behind: Any) -> None:
    for hours in (0, 1, 30, 300):
        await book(engine, acme, 2, NOW - timedelta(hours=hours, minutes=25), "scan")
    await roll(engine, acme)
    await behind.execute("UPDATE usage_rollup SET quantity = quantity * 10 WHERE customer_id = $1", acme)
    assert sum(used for _, used, _ in await shown(engine, acme)) == 80
    breakdown = await engine.container.ledger_reader().breakdown(acme, {RUNS: Period(NOW - 40 * DAY, NOW)}, NOW)
    assert [(share.dimension, share.quantity) for share in breakdown[RUNS].shares] == [("scan", 80)]


async def test_a_late_record_is_seen_at_once_and_marks_its_quarter_hour_only(engine: Engine, acme: str, behind: Any) -> None:
    await book(engine, acme, 5, NOW - DAY)
    await roll(engine, acme)
    late = NOW - DAY + timedelta(minutes=20)
    await engine.container.consume_usage().execute([record(acme, RUNS, 3, occurred_at=late)] * 2)
    assert await stale(behind, acme) == [floor(late, QUARTER)]
    await assert_plain_sums(engine, behind, acme)
    await roll(engine, acme)
    assert await stale(behind, acme) == []
    await assert_plain_sums(engine, behind, acme)


async def test_usage_of_now_marks_nothing(engine: Engine, acme: str, behind: Any) -> None:
    await book(engine, acme, 5, NOW - DAY)
    await roll(engine, acme)
    await book(engine, acme, 5, NOW)
    await engine.container.consume_usage().execute([record(acme, RUNS, 3, occurred_at=NOW - OPEN_FOR)])
    assert await stale(behind, acme) == []
    await assert_plain_sums(engine, behind, acme)


async def test_a_long_list_that_is_written_ahead_marks_what_it_must(engine: Engine, acme: str, behind: Any) -> None:
    await book(engine, acme, 5, NOW - 3 * DAY)
    await roll(engine, acme)
    await engine.container.consume_usage().execute([record(acme, RUNS, 1, occurred_at=NOW - timedelta(minutes=7 * n)) for n in range(700)])
    await assert_plain_sums(engine, behind, acme)


async def test_a_writer_whose_clock_is_behind_marks_what_it_books_into_closed_time(database_url: str, acme: str, behind: Any) -> None:
    """Its own now lies in time that another process has closed: no clock is relied on."""
    async with engine_on(database_url) as ahead, engine_on(database_url, now=NOW - timedelta(hours=3)) as slow:
        await book(ahead, acme, 5, NOW - DAY)
        await roll(ahead, acme)
        await slow.container.consume_usage().execute([record(acme, RUNS, 4)])
        assert await stale(behind, acme) == [floor(NOW - timedelta(hours=3), QUARTER)]
        await assert_plain_sums(ahead, behind, acme)


async def test_time_is_closed_only_behind_the_writers_that_do_not_know_of_it(
    database_url: str, engine: Engine, acme: str, behind: Any
) -> None:
    """A writer holds the counter's lock, and has read that nothing is closed: closing waits until its record is there."""
    await book(engine, acme, 5, NOW - DAY)
    writer = await asyncpg.connect(database_url)
    transaction = writer.transaction()
    await transaction.start()
    locked = await writer.fetch("SELECT * FROM lock_accounts_v6($1, $2, $3, $4)", [acme], [RUNS], [acme], NOW)
    assert locked[0]["closed_until"] is None
    rolling = asyncio.create_task(roller_of(engine).roll(Meter(acme, RUNS)))
    await asyncio.sleep(0.3)
    assert not rolling.done()
    await writer.execute(
        "INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, overage) "
        "VALUES ($1, $2, $3, 7, $4, $4, 'test', 0)",
        *(acme, uuid4(), RUNS, NOW - DAY),
    )
    await transaction.commit()
    await writer.close()
    assert await rolling
    await assert_plain_sums(engine, behind, acme)


async def test_a_mark_that_was_not_seen_when_the_rollup_was_made_stays(database_url: str, engine: Engine, acme: str, behind: Any) -> None:
    """Two transactions mark the same quarter hour; one commits while the other's mark is being mended."""
    at = NOW - DAY
    await book(engine, acme, 5, at)
    await roll(engine, acme)
    await engine.container.consume_usage().execute([record(acme, RUNS, 3, occurred_at=at)])
    other = await asyncpg.connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    # As a writer does it, under the counter's lock, and not yet committed.
    id = uuid4()
    await other.execute(
        "INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, overage) "
        "VALUES ($1, $2, $3, 7, $4, $4, 'test', 0)",
        *(acme, id, RUNS, at),
    )
    await other.execute("INSERT INTO usage_rollup_stale VALUES ($1, $2, $3, $4)", acme, RUNS, floor(at, QUARTER), id)
    await roll(engine, acme)
    await transaction.commit()
    await other.close()
    assert await stale(behind, acme) == [floor(at, QUARTER)]
    await assert_plain_sums(engine, behind, acme)
    await roll(engine, acme)
    await assert_plain_sums(engine, behind, acme)


async def test_after_a_crash_between_closing_and_rolling_up_all_goes_on(engine: Engine, acme: str, behind: Any) -> None:
    for hours in range(0, 60, 2):
        await book(engine, acme, 5, NOW - timedelta(hours=hours))
    roller = roller_of(engine)
    await engine.container.connections().ask(lambda driver: roller._close(driver, Meter(acme, RUNS)))
    await assert_plain_sums(engine, behind, acme)
    await engine.container.connections().ask(lambda driver: roller._roll_span(driver, Meter(acme, RUNS)))
    first = await rolled_until(behind, acme)
    await engine.container.consume_usage().execute([record(acme, RUNS, 3, occurred_at=NOW - timedelta(hours=n)) for n in (1, 58)])
    await assert_plain_sums(engine, behind, acme)
    await roll(engine, acme)
    last = await rolled_until(behind, acme)
    assert first is not None
    assert last is not None
    assert first < last
    await assert_plain_sums(engine, behind, acme)


async def test_several_processes_that_roll_up_at_once_do_not_disturb_each_other(
    database_url: str, engine: Engine, acme: str, behind: Any
) -> None:
    for hours in range(0, 60, 2):
        await book(engine, acme, 5, NOW - timedelta(hours=hours))
    async with engine_on(database_url) as second, engine_on(database_url) as third:
        writing = [record(acme, RUNS, 1, occurred_at=NOW - timedelta(hours=n)) for n in range(50)]
        await asyncio.gather(
            *(roller_of(process, span=3).round() for process in (engine, second, third)),
            *(process.container.consume_usage().execute([item]) for item in writing for process in (second, third)),
        )
    await roller_of(engine).round()
    assert await rolled_until(behind, acme) == floor(NOW - OPEN_FOR, QUARTER)
    await assert_plain_sums(engine, behind, acme)
    assert await engine.drift(acme) == []


async def test_what_a_release_books_that_marks_nothing_counts_nevertheless(engine: Engine, acme: str, behind: Any) -> None:
    await book(engine, acme, 5, NOW - DAY)
    await roll(engine, acme)
    async with behind.transaction():
        await behind.fetch("SELECT * FROM lock_accounts_v5($1, $2, $3, $4)", [acme], [RUNS], [acme], NOW)
        await behind.execute(
            "INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, overage) "
            "VALUES ($1, $2, $3, 7, $4, $4, 'test', 0)",
            *(acme, uuid4(), RUNS, NOW - DAY),
        )
    await assert_plain_sums(engine, behind, acme)
    await roll(engine, acme)
    await assert_plain_sums(engine, behind, acme)


async def test_customers_who_use_little_have_no_rollups(engine: Engine, acme: str, behind: Any) -> None:
    for hours in range(9):
        await book(engine, acme, 1, NOW - timedelta(hours=hours))
    assert await roller_of(engine, due=8).round() == 0
    assert await rolled_until(behind, acme) is None
    assert await roller_of(engine, due=7).round() == 1
    assert await rolled_until(behind, acme) == floor(NOW - OPEN_FOR, QUARTER)


async def test_reconcile_finds_rollups_that_differ_and_mends_them(engine: Engine, acme: str, behind: Any) -> None:
    at = datetime(2026, 11, 18, 7, 20, tzinfo=UTC)
    await book(engine, acme, 5, at, "scan")
    await roll(engine, acme)
    assert await engine.drift(acme) == []
    await behind.execute("UPDATE usage_rollup SET quantity = 9 WHERE customer_id = $1 AND grain_seconds = 3600", acme)
    hour = floor(at, timedelta(hours=1))
    found = await engine.drift(acme)
    assert found == [Drift(acme, RUNS, Period(hour, hour + timedelta(hours=1)), "rollup", 9, 5)]
    await engine.container.reconcile().repair(found)
    assert await engine.drift(acme) == []
    await behind.execute("UPDATE usage_rollup SET dimension = 'chat' WHERE customer_id = $1 AND grain_seconds = 900", acme)
    (drift,) = await engine.drift(acme)
    assert (drift.period, drift.recorded, drift.expected) == (Period(floor(at, QUARTER), floor(at, QUARTER) + QUARTER), 5, 5)
    await engine.container.reconcile().repair([drift])
    await behind.execute("DELETE FROM usage_rollup WHERE customer_id = $1", acme)
    found = await engine.drift(acme)
    assert sorted((drift.period.end - drift.period.start, drift.recorded, drift.expected) for drift in found) == [
        (QUARTER, 0, 5),
        (timedelta(hours=1), 0, 5),
        (DAY, 0, 5),
    ]
    await engine.container.reconcile().repair(found)
    assert await engine.drift(acme) == []
    await assert_plain_sums(engine, behind, acme, By.HOUR)
