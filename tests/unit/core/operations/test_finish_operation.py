"""A finished operation gives back what is still held for it, and stays as it ended."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from core.metering.reservations import ReservationState
from core.operations.operation import InvalidOperationState, OperationNotFound, OperationStatus
from core.operations.ports import WholeOperation
from core.operations.start_operation import HELD_FOR
from tests.unit.fakes.examples import NOW
from tests.unit.fakes.operations import CENT, Scanner

End = Callable[[Scanner], Awaitable[WholeOperation]]
ENDS = [(Scanner.completes, OperationStatus.COMPLETED), (Scanner.fails, OperationStatus.FAILED)]


@pytest.mark.parametrize(("end", "status"), ENDS)
async def test_what_is_left_of_the_hold_is_given_back_and_steps_stay_booked(ada: Scanner, end: End, status: OperationStatus) -> None:
    await ada.starts("scan", "1", 3)
    added = await ada.adds("0.10", billable_run=True)
    finished = await end(ada)
    assert (finished.operation.status, finished.operation.finished_at, finished.steps) == (status, NOW, (added.step,))
    assert (finished.operation.total_cost, finished.operation.total_runs) == (10 * CENT, 1)
    assert await ada.stands() == ((1, 0), (10 * CENT, 0))
    (hold,) = ada.store.reservations.values()
    assert hold.state is ReservationState.RELEASED
    assert ada.store.holds == {}


@pytest.mark.parametrize(("end", "status"), ENDS)
async def test_finishing_again_changes_nothing(ada: Scanner, end: End, status: OperationStatus) -> None:
    await ada.starts()
    first = await end(ada)
    ada.now += HELD_FOR
    assert await end(ada) == first


@pytest.mark.parametrize(("first", "then"), [(Scanner.completes, Scanner.fails), (Scanner.fails, Scanner.completes)])
async def test_an_operation_does_not_end_twice_in_different_ways(ada: Scanner, first: End, then: End) -> None:
    await ada.starts()
    before = await first(ada)
    with pytest.raises(InvalidOperationState):
        await then(ada)
    assert ada.operation() == before.operation


async def test_an_operation_without_a_hold_or_a_step_can_be_finished(ada: Scanner) -> None:
    await ada.starts("scan", "0", 0)
    finished = await ada.completes()
    assert (finished.operation.status, finished.steps) == (OperationStatus.COMPLETED, ())


async def test_an_operation_whose_hold_has_expired_can_be_finished(ada: Scanner) -> None:
    await ada.starts()
    ada.now += HELD_FOR
    assert (await ada.fails()).operation.status is OperationStatus.FAILED
    assert await ada.stands() == ((0, 0), (0, 0))


async def test_an_operation_whose_hold_somebody_else_has_ended_can_be_finished(ada: Scanner) -> None:
    await ada.starts()
    ((key, hold),) = ada.store.reservations.items()
    ada.store.reservations[key] = replace(hold, state=ReservationState.COMMITTED, held={})
    assert (await ada.completes()).operation.status is OperationStatus.COMPLETED
    assert ada.store.reservations[key].state is ReservationState.COMMITTED


async def test_a_standalone_operation_is_complete_already(ada: Scanner) -> None:
    operation = (await ada.adds_standalone("0.01")).operation
    assert (await ada.completes(operation.id)).operation == operation
    with pytest.raises(InvalidOperationState):
        await ada.fails(operation.id)


async def test_only_the_customers_own_operations_can_be_finished(ada: Scanner, bob: Scanner) -> None:
    await bob.starts()
    with pytest.raises(OperationNotFound):
        await ada.completes()
