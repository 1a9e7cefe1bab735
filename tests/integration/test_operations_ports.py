"""What the repositories of the operations product promise beyond `test_contract_of_repositories.py`: the steps of an operation."""

from dataclasses import replace

import asyncpg
import pytest

from core.operations.operation import Operation
from core.operations.ports import STEPS_SHOWN_MAX, OperationKey, StepKey
from core.operations.step import Step
from tests.integration.kinds import operations, steps
from tests.integration.units_of_work import Storage
from tests.unit.fakes.operations import FakeOperationStore

SCAN, LETTER = OperationKey("ada", "scan"), OperationKey("ada", "letter")


@pytest.fixture
def fake_store() -> FakeOperationStore:
    return FakeOperationStore()


@pytest.fixture
async def storage(storage: Storage) -> Storage:
    """Ada has two operations, and Bob has one that is called as the first of hers."""
    await keep(storage, operation(SCAN), operation(LETTER), operation(OperationKey("bob", "scan")))
    return storage


def operation(key: OperationKey) -> Operation:
    return replace(operations(key.customer_id).first, id=key.operation_id)


def step(position: int, of: OperationKey = SCAN, id: str | None = None) -> Step:
    return replace(steps(of.customer_id).first, operation_id=of.operation_id, id=id or f"step {position}", position=position)


async def keep(storage: Storage, *things: Operation | Step) -> None:
    async with storage.open() as uow:
        for thing in things:
            (uow.steps if isinstance(thing, Step) else uow.operations).save(thing)
        await uow.commit()


async def test_an_operation_has_its_own_steps_in_order_and_no_others(storage: Storage) -> None:
    # Ten of them, since text would put the tenth before the second; written out of order.
    own = [step(position) for position in (10, 3, 1, 2, 4, 5, 6, 7, 9, 8)]
    await keep(storage, *own, step(1, LETTER), step(2, OperationKey("bob", "scan")))
    async with storage.open() as uow:
        await uow.steps.load_of([SCAN, LETTER, SCAN, OperationKey("bob", "letter")])
        assert list(uow.steps.first_of(SCAN)) == sorted(own, key=lambda step: step.position)
        assert list(uow.steps.first_of(LETTER)) == [step(1, LETTER)]
        assert list(uow.steps.first_of(OperationKey("bob", "letter"))) == []
        assert list(await uow.steps.find_of([LETTER])) == [step(1, LETTER)]


async def test_of_many_steps_the_first_are_shown_and_the_last_is_known(storage: Storage) -> None:
    many = STEPS_SHOWN_MAX + 5
    await keep(storage, *[step(position) for position in range(1, many + 1)], step(1, LETTER))
    async with storage.open() as uow:
        await uow.steps.load_of([LETTER, SCAN])
        assert list(uow.steps.first_of(SCAN)) == [step(position) for position in range(1, STEPS_SHOWN_MAX + 1)]
        assert (uow.steps.last_of(SCAN), uow.steps.last_of(LETTER)) == (step(many), step(1, LETTER))
        uow.steps.save(step(many + 1))
        assert uow.steps.last_of(SCAN) == step(many + 1)
        assert len(uow.steps.first_of(SCAN)) == STEPS_SHOWN_MAX


async def test_the_steps_of_an_operation_that_was_not_loaded_are_not_known(storage: Storage) -> None:
    await keep(storage, step(1))
    async with storage.open() as uow:
        await uow.steps.load_of([LETTER])
        await uow.steps.load([StepKey("ada", "scan", "step 1")])
        uow.steps.save(step(2))
        with pytest.raises(KeyError):
            uow.steps.first_of(SCAN)


async def test_a_step_that_is_saved_is_the_operations_last_one_until_it_is_taken_back(storage: Storage) -> None:
    await keep(storage, step(1))
    async with storage.open() as uow:
        await uow.steps.load_of([SCAN, LETTER])
        uow.steps.save(step(2))
        mark = uow.journal.mark()
        uow.steps.save(step(3))
        uow.steps.save(step(1, LETTER))
        assert [list(uow.steps.first_of(key)) for key in (SCAN, LETTER)] == [[step(1), step(2), step(3)], [step(1, LETTER)]]
        uow.journal.undo(mark)
        assert [list(uow.steps.first_of(key)) for key in (SCAN, LETTER)] == [[step(1), step(2)], []]


async def test_a_step_that_is_saved_twice_is_one_step_as_it_was_saved_last(storage: Storage) -> None:
    async with storage.open() as uow:
        await uow.steps.load_of([SCAN])
        uow.steps.save(step(1))
        uow.steps.save(replace(step(1), over_limit=True))
        assert list(uow.steps.first_of(SCAN)) == [replace(step(1), over_limit=True)]
        await uow.commit()
    async with storage.open() as uow:
        await uow.steps.load_of([SCAN])
        assert list(uow.steps.first_of(SCAN)) == [replace(step(1), over_limit=True)]


async def test_loading_an_operations_steps_finds_what_was_saved_before_too_and_loses_nothing_that_was_saved_since(storage: Storage) -> None:
    await keep(storage, step(1))
    async with storage.open() as uow:
        uow.steps.save(step(2))
        await uow.steps.load_of([SCAN])
        uow.steps.save(step(3))
        await uow.steps.load_of([SCAN, LETTER])
        assert list(uow.steps.first_of(SCAN)) == [step(1), step(2), step(3)]


@pytest.mark.parametrize("taken", [step(2, id="step 1"), step(1, id="another")], ids=["the id", "the position"])
async def test_an_id_and_a_position_belong_to_one_step_for_good(storage: Storage, taken: Step) -> None:
    await keep(storage, step(1))
    with pytest.raises((asyncpg.UniqueViolationError, AssertionError)):
        await keep(storage, taken)
    async with storage.open() as uow:
        await uow.steps.load_of([SCAN])
        assert list(uow.steps.first_of(SCAN)) == [step(1)]


async def test_a_step_belongs_to_an_operation_that_exists(storage: Storage) -> None:
    with pytest.raises((asyncpg.ForeignKeyViolationError, AssertionError)):
        await keep(storage, step(1, OperationKey("bob", "letter")))
