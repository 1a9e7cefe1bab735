"""What was stored before costs were kept exactly, and ids indexed by their digest, means the same afterwards."""

import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from core.metering.balance import Amount
from core.metering.ingest_events import IngestEventCommand
from core.metering.use_case import Call, execute_one
from core.operations.add_step import AddedStep, AddStepCommand
from core.operations.finish_operation import FinishOperationCommand
from core.operations.operation import OperationStatus
from core.operations.ports import WholeOperation
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.upkeep.migrate import upgrade
from tests.integration.in_process import NOW, Engine, engine_on
from tests.integration.service import Databases

UNLIMITED = {"type": "metered", "limit": None, "reset": "month", "enforcement": "hard"}
PLAN = "INSERT INTO plan_version VALUES ('old', 1, 'Old', $1)"
CUSTOMER = "INSERT INTO customer VALUES ('ada', 'old', 1, NULL, 'month', 'UTC', NULL, $1, $1)"
OPERATION = """
    INSERT INTO ai_operation (customer_id, id, feature, status, total_cost, total_runs, step_count, created_at)
    VALUES ('ada', $1, 'scan', $2, 5, 1, 1, $3)
"""
STEP = """
    INSERT INTO ai_operation_step (customer_id, operation_id, id, position, feature, cost, billable_run, occurred_at, over_limit)
    VALUES ('ada', $1, 'step', $2, 'ocr', 5, true, $3, false)
"""
RECORD = """
    INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, reference, overage, event_id, dimension)
    VALUES ('ada', gen_random_uuid(), $1, $2, $3, $3, $4, $5, 0, $6, 'ocr')
"""


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    url = databases.empty()
    yield url
    databases.drop(url)


@pytest.fixture
async def engine(url: str) -> AsyncIterator[Engine]:
    """On a database that the release before has worked with."""
    pool = create_engine(url)
    await upgrade(pool, "0007")
    async with pool.begin() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute(PLAN, json.dumps({"ai_cost": UNLIMITED, "ai_runs": UNLIMITED}))
        await driver.execute(CUSTOMER, NOW)
        for id, status in (("running", "running"), ("done", "completed")):
            await driver.execute(OPERATION, id, status, NOW)
            await driver.execute(STEP, id, 1, NOW)
            for feature, quantity in (("ai_cost", 5), ("ai_runs", 1)):
                await driver.execute(RECORD, feature, quantity, NOW, "operations", f"{id}#1", None)
        await driver.execute(RECORD, "ai_runs", 1, NOW, "meter", None, "event")
    await upgrade(pool)
    await pool.dispose()
    async with engine_on(url) as engine:
        yield engine


def step(operation: str, cost: str, id: str | None = None) -> AddStepCommand:
    return AddStepCommand(
        customer_id="ada", operation_id=operation, feature="ocr", cost=Decimal(cost), billable_run=True, recorded_by="app", step_id=id
    )


def event(id: str) -> IngestEventCommand:
    return IngestEventCommand("ada", [Amount("ai_runs", Decimal(1))], "meter", id, "app")


async def test_what_was_stored_is_known(engine: Engine) -> None:
    for operation in ("running", "done"):
        added = await execute_one(engine.container.add_step(), step(operation, "0.000000005", "step"))
        assert isinstance(added, AddedStep)
        assert (added.is_new, added.operation.total_cost, added.operation.booked_cost) == (False, 5, 5)
    assert await engine.container.ingest_events().execute([Call(event("event")), Call(event("other"))]) == [False, True]
    assert await engine.drift("ada") == []


async def test_an_operation_that_was_running_goes_on_exactly(engine: Engine) -> None:
    for cost in ("3.7e-10", "3.7e-10"):
        await execute_one(engine.container.add_step(), step("running", cost))
    assert (await engine.balance("ada", "ai_cost")).used == 10
    finishing = FinishOperationCommand("ada", "running", OperationStatus.COMPLETED, "app")
    whole = await execute_one(engine.container.finish_operation(), finishing)
    assert isinstance(whole, WholeOperation)
    assert (whole.operation.booked_cost, (await engine.balance("ada", "ai_cost")).used) == (6, 11)
    assert await engine.drift("ada") == []


async def test_the_release_before_can_go_on_writing(engine: Engine, url: str) -> None:
    pool = create_engine(url)
    async with pool.begin() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute(STEP.replace("'step'", "'another'"), "running", 2, NOW)
    await pool.dispose()
    added = await execute_one(engine.container.add_step(), step("running", "0.000000005", "another"))
    assert isinstance(added, AddedStep)
    assert (added.is_new, added.step.position) == (False, 2)
