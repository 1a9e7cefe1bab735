"""The deepest page of a ledger costs as much as the first: measured in pages of the database that are looked at, not in time."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from core.metering.ledger import LedgerQuery
from core.plans.periods import BEGINNING
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.driver.statements import Driver, HotStatement, driver_of
from infrastructure.sql.engine.ledger_reader import NEWEST, NEWEST_OF_REFERENCE
from tests.integration.in_process import Engine, engine_on

RECORDS = 60_000
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(seconds=RECORDS)
CUSTOMER = "of-many-records"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def driver(engine: Engine, database_url: str) -> AsyncIterator[Driver]:
    """Of a database in which one customer has many records, a second apart."""
    pool = create_engine(database_url)
    async with pool.connect() as connection:
        driver = await driver_of(connection)
        if not await driver.fetch("SELECT 1 FROM customer WHERE customer_id = $1", CUSTOMER):
            await engine.customer(CUSTOMER, calls=None)
            await driver.execute("INSERT INTO usage_counter (customer_id, feature) VALUES ($1, 'calls')", CUSTOMER)
            await driver.execute(
                """
                INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, reference, overage)
                SELECT $1, gen_random_uuid(), 'calls', 1, $2::timestamptz + n * interval '1 second', now(), 'test', 'order 7', 0
                FROM generate_series(0, $3::int - 1) AS n
                """,
                CUSTOMER,
                START,
                RECORDS,
            )
            await driver.execute("ANALYZE usage_record")
        yield driver
    await pool.dispose()


async def looked_at(driver: Driver, statement: str, before: datetime, reference: str | None) -> int:
    """How many pages of the database the page takes that begins there."""
    values: dict[str, Any] = {"customer_id": CUSTOMER, "feature": None, "dimension": None, "limit": 50, "since": BEGINNING}
    values |= {"before_at": before, "before_id": UUID(int=0), "reference": reference}
    plan = await HotStatement(f"EXPLAIN (ANALYZE, BUFFERS) {statement}").fetch(driver, values)
    whole = next(line for (line,) in plan if "Buffers:" in line)
    pages = sum(int(found) for found in re.findall(r"(?:hit|read)=(\d+)", whole))
    assert pages > 0
    return pages


@pytest.mark.parametrize(("statement", "reference"), [(NEWEST, None), (NEWEST_OF_REFERENCE, "order 7")])
async def test_the_deepest_page_takes_no_more_than_twice_the_first(driver: Driver, statement: str, reference: str | None) -> None:
    first = await looked_at(driver, statement, END, reference)
    deepest = await looked_at(driver, statement, START + timedelta(seconds=60), reference)
    assert deepest <= 2 * first


async def test_a_page_ends_before_until_and_goes_on_from_the_last_wherever_that_is(engine: Engine, driver: Driver) -> None:
    reader, middle = engine.container.ledger_reader(), START + timedelta(seconds=100)
    page = await reader.newest(LedgerQuery(CUSTOMER, 10, until=middle))
    assert [record.occurred_at for record in page] == [middle - timedelta(seconds=number) for number in range(1, 11)]
    before = page[-1].occurred_at, page[-1].id
    following = await reader.newest(LedgerQuery(CUSTOMER, 3, until=middle, before=before))
    assert [record.occurred_at for record in following] == [middle - timedelta(seconds=number) for number in range(11, 14)]
    early = await reader.newest(LedgerQuery(CUSTOMER, 3, until=START + timedelta(seconds=5), before=before))
    assert [record.occurred_at for record in early] == [START + timedelta(seconds=number) for number in (4, 3, 2)]
