"""Work that is its own operation: the same step, in one call."""

import pytest

from core.operations.operation import OperationConflict, OperationStatus
from core.operations.step import StepConflict
from tests.unit.fakes.examples import NOW
from tests.unit.fakes.operations import CENT, DOLLAR, Scanner


async def test_a_standalone_operation_is_one_step_and_complete(ada: Scanner) -> None:
    added = await ada.adds_standalone("0.02", billable_run=True, feature="summary")
    operation = added.operation
    assert (operation.feature, operation.status, operation.finished_at) == ("summary", OperationStatus.COMPLETED, NOW)
    assert (operation.total_cost, operation.total_runs, operation.step_count) == (2 * CENT, 1, 1)
    assert ada.operation(operation.id) == operation
    assert await ada.stands() == ((1, 0), (2 * CENT, 0))


async def test_a_standalone_operation_is_always_booked(ada: Scanner) -> None:
    await ada.starts("scan", "3", 30)
    added = await ada.adds_standalone("3.01")
    assert added.step.over_limit
    assert await ada.stands() == ((1, 30), (301 * CENT, 3 * DOLLAR))


async def test_the_same_standalone_operation_again_is_booked_once(ada: Scanner) -> None:
    first = await ada.adds_standalone("0.02", id="mine")
    again = await ada.adds_standalone("0.02", id="mine")
    assert (again.operation, again.step, again.is_new) == (first.operation, first.step, False)
    assert await ada.stands() == ((1, 0), (2 * CENT, 0))


async def test_another_standalone_operation_under_the_same_id_is_refused(ada: Scanner) -> None:
    await ada.adds_standalone("0.02", id="mine", feature="summary")
    with pytest.raises(StepConflict):
        await ada.adds_standalone("0.03", id="mine", feature="summary")
    with pytest.raises(OperationConflict):
        await ada.adds_standalone("0.02", id="mine", feature="other")


async def test_a_running_operations_id_is_taken(ada: Scanner) -> None:
    await ada.starts("scan", "0", 0, feature="summary")
    with pytest.raises(OperationConflict):
        await ada.adds_standalone("0.02", id="scan", feature="summary")


async def test_standalone_operations_without_an_id_are_each_booked(ada: Scanner) -> None:
    await ada.adds_standalone("0.02")
    await ada.adds_standalone("0.02")
    assert await ada.stands() == ((2, 0), (4 * CENT, 0))
