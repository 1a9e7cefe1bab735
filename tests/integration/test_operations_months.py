"""Operations at the turn of a month, and past the time of their holds: on PostgreSQL, by a clock that the test sets."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.metering.balance import LimitExceeded
from core.metering.use_case import execute_one
from core.operations.add_step import AddStepCommand
from core.operations.features import AI_COST, AI_RUNS
from core.operations.finish_operation import FinishOperationCommand
from core.operations.operation import OperationStatus
from core.operations.ports import OperationKey
from core.operations.start_operation import HELD_FOR, StartOperationCommand
from core.plans.drafts import MeteredDraft, PlanDraft
from core.plans.periods import Reset
from tests.integration.in_process import Engine, engine_on

CENT = AI_COST.resolution // 100
SECOND = timedelta(seconds=1)
MIDNIGHT = datetime(2026, 11, 30, 23, tzinfo=UTC)  # in Vienna: December begins


class Vienna:
    """A customer in Vienna with $3.00 and 30 runs a month, and one operation."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def starts(self, cost: str, runs: int = 1, id: str = "scan") -> None:
        await execute_one(
            self.engine.container.start_operation(),
            StartOperationCommand(customer_id="v", feature="scan", estimated_cost=Decimal(cost), estimated_runs=runs, operation_id=id),
        )

    async def adds(self, cost: str, billable_run: bool = True) -> Any:
        command = AddStepCommand(
            customer_id="v", operation_id="scan", feature="ocr", cost=Decimal(cost), billable_run=billable_run, recorded_by="app"
        )
        return await execute_one(self.engine.container.add_step(), command)

    async def completes(self) -> Any:
        command = FinishOperationCommand("v", "scan", OperationStatus.COMPLETED, "app")
        return await execute_one(self.engine.container.finish_operation(), command)

    async def stands(self) -> tuple[int, int, int]:
        """Runs used, and the cost that is used and held, in cents. The budget and the counters say the same."""
        budget = await self.engine.container.read_budget().execute("v")
        assert budget.cost == await self.engine.balance("v", AI_COST.key)
        assert budget.runs == await self.engine.balance("v", AI_RUNS.key)
        assert sum(spend.cost for spend in budget.by_feature) == budget.cost.used
        return budget.runs.used, budget.cost.used // CENT, budget.cost.held // CENT


@pytest.fixture
async def vienna(database_url: str) -> AsyncIterator[Vienna]:
    async with engine_on(database_url) as engine:
        monthly = {AI_RUNS.key: MeteredDraft(Decimal(30), Reset.MONTH), AI_COST.key: MeteredDraft(Decimal(3), Reset.MONTH)}
        await engine.publish(PlanDraft("monthly", "Monthly", monthly))
        id = await engine.customer("v", anchor=None)
        customer = await engine.container.customer_reader().get(id)
        billing = customer.billing._replace(zone=ZoneInfo("Europe/Vienna"))
        await engine.put(replace(customer, plan_key="monthly", plan_version=1, billing=billing))
        yield Vienna(engine)
        assert await engine.drift("v") == []


async def test_a_step_one_second_before_midnight_belongs_to_the_old_month_and_the_next_one_to_the_new(vienna: Vienna) -> None:
    vienna.engine.now = MIDNIGHT - SECOND
    await vienna.starts("1.00", 2)
    await vienna.adds("0.10")
    assert await vienna.stands() == (1, 10, 90)
    vienna.engine.now = MIDNIGHT
    assert await vienna.stands() == (0, 0, 90)  # a hold is of no month: it holds until it ends
    added = await vienna.adds("0.20")
    assert (added.operation.total_cost, added.operation.total_runs) == (30 * CENT, 2)
    assert await vienna.stands() == (1, 20, 70)
    assert (await vienna.completes()).operation.total_cost == 30 * CENT
    assert await vienna.stands() == (1, 20, 0)
    vienna.engine.now = MIDNIGHT - SECOND
    assert await vienna.stands() == (1, 10, 0)


async def test_a_spent_budget_is_whole_again_on_the_first(vienna: Vienna) -> None:
    vienna.engine.now = MIDNIGHT - 2 * HELD_FOR
    await vienna.starts("3")
    await vienna.adds("3.5")
    with pytest.raises(LimitExceeded) as refusal:
        await vienna.starts("0", 0, "other")
    assert refusal.value.balance.period.resets_at == MIDNIGHT
    vienna.engine.now = MIDNIGHT
    await vienna.starts("3", 30, "other")
    assert await vienna.stands() == (0, 0, 300)


async def test_an_operation_outlives_its_hold_and_keeps_counting(vienna: Vienna) -> None:
    start = vienna.engine.now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    await vienna.starts("3")
    await vienna.adds("0.10")
    vienna.engine.now = start + HELD_FOR - SECOND
    with pytest.raises(LimitExceeded):
        await vienna.starts("0.01", 1, "other")
    vienna.engine.now = start + HELD_FOR
    assert await vienna.stands() == (1, 10, 0)
    await vienna.starts("2.90", 1, "other")
    vienna.engine.now = start + HELD_FOR + timedelta(hours=5)
    await vienna.engine.container.sweeper().sweep()
    added = await vienna.adds("0.30")
    assert (added.operation.total_cost, added.step.over_limit) == (40 * CENT, False)
    assert await vienna.stands() == (2, 40, 0)
    assert (await vienna.completes()).operation.status is OperationStatus.COMPLETED
    whole = await vienna.engine.container.operation_reader().whole(OperationKey("v", "scan"))
    assert [step.occurred_at for step in whole.steps] == [start, vienna.engine.now]
