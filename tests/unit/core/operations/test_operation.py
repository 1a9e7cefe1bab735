"""An operation's totals are those of its steps, and it ends once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.metering.account import USED_PARTS_MAX
from core.operations.estimate import Estimate
from core.operations.operation import InvalidOperationState, Operation, OperationConflict, OperationStatus
from core.operations.step import Step, StepConflict, Work
from core.plans.features import InvalidQuantity
from tests.unit.fakes.examples import NOW

RUNNING = Operation(customer_id="ada", id="scan", feature="scan", created_at=NOW, estimate=Estimate(cost=5, runs=1))


def step(cost: int, *, billable_run: bool = False, position: int = 1) -> Step:
    work = Work("ocr", cost, billable_run)
    return Step(customer_id="ada", operation_id="scan", id=f"step {position}", position=position, work=work, occurred_at=NOW)


def test_a_step_adds_its_cost_and_its_run_to_the_totals() -> None:
    operation = RUNNING.plus(step(3)).plus(step(4, billable_run=True, position=2))
    assert (operation.total_cost, operation.total_runs, operation.step_count) == (7, 1, 2)


def test_a_total_may_grow_as_large_as_a_counter_and_no_larger() -> None:
    operation = RUNNING.plus(step(USED_PARTS_MAX - 1)).plus(step(1, position=2))
    assert operation.total_cost == USED_PARTS_MAX
    with pytest.raises(InvalidQuantity, match="the operation's total"):
        operation.plus(step(1, position=3))
    assert operation.plus(step(0, position=3)).total_cost == USED_PARTS_MAX


@pytest.mark.parametrize("status", [OperationStatus.COMPLETED, OperationStatus.FAILED])
def test_an_operation_that_is_over_takes_no_step_and_does_not_end_otherwise(status: OperationStatus) -> None:
    over = RUNNING.finished(status, NOW)
    other = OperationStatus.FAILED if status is OperationStatus.COMPLETED else OperationStatus.COMPLETED
    with pytest.raises(InvalidOperationState):
        over.plus(step(1))
    with pytest.raises(InvalidOperationState):
        over.finished(other, NOW)
    assert over.finished(status, NOW + timedelta(hours=1)) is over


@pytest.mark.parametrize(("feature", "estimate"), [("other", Estimate(5, 1)), ("scan", Estimate(6, 1)), ("scan", None)])
def test_another_feature_or_estimate_is_another_operation(feature: str, estimate: Estimate | None) -> None:
    RUNNING.require_same("scan", Estimate(5, 1))
    with pytest.raises(OperationConflict):
        RUNNING.require_same(feature, estimate)


@pytest.mark.parametrize("other", [Work("ai", 3, False), Work("ocr", 4, False), Work("ocr", 3, True), Work("ocr", 3, False, 1)])
def test_other_work_is_another_step(other: Work) -> None:
    step(3).require_same(Work("ocr", 3, False))
    with pytest.raises(StepConflict):
        step(3).require_same(other)


def test_a_step_counts_as_a_run_and_a_cost_and_as_neither_where_there_is_none() -> None:
    assert [(usage.feature, usage.quantity, usage.dimension) for usage in step(3, billable_run=True).usage()] == [
        ("ai_runs", 1, "ocr"),
        ("ai_cost", 3, "ocr"),
    ]
    assert step(0).usage() == []
    assert [usage.quantity for usage in replace(step(0), carried_cost=1).usage()] == [1]
