"""A step, its operation's totals and the usage change together; work that is done is always booked, and once."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StorageUnavailable
from core.metering.account import USED_PARTS_MAX, CustomerNotFound
from core.metering.ledger import Origin
from core.metering.reservations import ReservationState
from core.operations.add_step import AddedStep, AddStep
from core.operations.features import AI_COST, AI_RUNS
from core.operations.operation import InvalidOperationState, OperationNotFound, OperationStatus
from core.operations.ports import StepKey, WholeOperation
from core.operations.start_operation import HELD_FOR
from core.operations.step import StepConflict
from core.plans.features import FRACTIONS, InvalidQuantity
from core.plans.plan import Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW
from tests.unit.fakes.operations import CENT, DOLLAR, FakeOperationStore, FakeOperationsUnitOfWork, Scanner

End = Callable[[Scanner], Awaitable[WholeOperation]]

SECOND = timedelta(seconds=1)
HALF = FRACTIONS // 2
NOVEMBER_BEGINS, DECEMBER_BEGINS = datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC)  # in Vienna


async def test_the_scan_of_a_business_card(ada: Scanner) -> None:
    await ada.starts()
    await ada.adds("0.0015", billable_run=False, feature="ocr")
    added = await ada.adds("0.000108", billable_run=True, feature="ai")
    assert (added.operation.total_cost, added.operation.total_runs) == (1_608_000, 1)
    assert await ada.stands() == ((1, 0), (1_608_000, 392_000))
    booked = [(record.feature, record.quantity, record.dimension, record.origin) for record in ada.store.ledger]
    assert booked == [
        ("ai_cost", 1_500_000, "ocr", Origin("operations", "app", "scan#1")),
        ("ai_runs", 1, "ai", Origin("operations", "app", "scan#2")),
        ("ai_cost", 108_000, "ai", Origin("operations", "app", "scan#2")),
    ]


async def test_a_step_is_recorded_with_its_operation(ada: Scanner) -> None:
    await ada.starts()
    added = await ada.adds("0.0015", id="first")
    assert (added.step.id, added.step.position, added.step.occurred_at, added.is_new) == ("first", 1, NOW, True)
    assert ada.store.steps == {StepKey("ada", "scan", "first"): added.step}
    assert ada.operation() == added.operation


async def test_a_step_that_is_neither_billable_nor_has_a_cost_is_recorded_and_changes_no_usage(ada: Scanner) -> None:
    await ada.starts()
    before = await ada.stands()
    added = await ada.adds("0", billable_run=False)
    assert (added.operation.total_cost, added.operation.total_runs, added.operation.step_count) == (0, 0, 1)
    assert len(ada.store.steps) == 1
    assert ada.store.ledger == []
    assert await ada.stands() == before


async def test_a_cost_is_kept_to_the_fraction_of_a_nano_dollar(ada: Scanner) -> None:
    await ada.starts()
    works = [(await ada.adds(cost)).step.work for cost in ("0.0000000005", "0.0000000015", "1e-27", "5e-28", "1.5e-27", "1e-300")]
    assert [(work.cost, work.cost_fraction) for work in works] == [(0, HALF), (1, HALF), (0, 1), (0, 0), (0, 2), (0, 0)]


# The hold is used up first.


async def test_work_within_the_estimate_takes_nothing_from_what_others_may_use(ada: Scanner) -> None:
    await ada.starts("scan", "1", 1)
    await ada.starts("other", "2", 1)
    await ada.adds("0.60")
    assert await ada.stands() == ((0, 2), (60 * CENT, 240 * CENT))


async def test_work_beyond_the_estimate_is_booked_on_top_of_the_used_up_hold(ada: Scanner) -> None:
    await ada.starts("scan", "0.01", 1)
    await ada.adds("0.03", billable_run=True)
    await ada.adds("0.01", billable_run=True)
    assert await ada.stands() == ((2, 0), (4 * CENT, 0))


async def test_work_is_booked_as_overage_where_it_has_to_be(ada: Scanner) -> None:
    await ada.starts("scan", "3", 30)
    within = await ada.adds("2.99")
    beyond = await ada.adds("0.03")
    assert (within.step.over_limit, beyond.step.over_limit) == (False, True)
    assert [record.overage for record in ada.store.ledger] == [0, 2 * CENT]
    assert await ada.stands() == ((0, 30), (302 * CENT, 0))


async def test_an_operation_that_runs_longer_than_its_hold_keeps_counting(ada: Scanner) -> None:
    await ada.starts("scan", "1", 1)
    await ada.adds("0.10")
    ada.now += HELD_FOR
    assert await ada.stands() == ((0, 0), (10 * CENT, 0))
    added = await ada.adds("0.20", billable_run=True)
    assert (added.operation.total_cost, added.operation.total_runs) == (30 * CENT, 1)
    assert await ada.stands() == ((1, 0), (30 * CENT, 0))
    (hold,) = ada.store.reservations.values()
    assert (hold.held["ai_cost"], hold.state_at(ada.now)) == (90 * CENT, ReservationState.EXPIRED)
    assert (await ada.completes()).operation.status is OperationStatus.COMPLETED


async def test_work_is_booked_for_a_plan_that_does_not_have_the_features(ada: Scanner) -> None:
    await ada.starts()
    ada.moves_to(Plan("neither", 1, "Neither", {"sessions": Metered(1)}))
    added = await ada.adds("0.01", billable_run=True)
    assert added.step.over_limit
    assert [record.overage for record in ada.store.ledger] == [1, CENT]


# Calendar months.


async def test_steps_of_one_operation_fall_into_the_months_in_which_they_happen(ada: Scanner) -> None:
    ada.now = DECEMBER_BEGINS - SECOND
    await ada.starts("scan", "1", 2)
    await ada.adds("0.10", billable_run=True)
    assert await ada.stands() == ((1, 1), (10 * CENT, 90 * CENT))
    ada.now = DECEMBER_BEGINS
    assert await ada.stands() == ((0, 1), (0, 90 * CENT))  # what is held is held in whichever month it is
    added = await ada.adds("0.20", billable_run=True)
    assert (added.operation.total_cost, added.operation.total_runs) == (30 * CENT, 2)
    assert await ada.stands() == ((1, 0), (20 * CENT, 70 * CENT))
    ada.now = DECEMBER_BEGINS - SECOND
    assert (await ada.stands())[1][0] == 10 * CENT


async def test_the_month_begins_at_midnight_where_the_customer_is(ada: Scanner) -> None:
    ada.now = NOVEMBER_BEGINS - SECOND
    await ada.adds_standalone("1")
    ada.now = NOVEMBER_BEGINS
    assert await ada.stands() == ((0, 0), (0, 0))


# Once.


async def test_the_same_step_again_is_answered_with_what_is_stored(ada: Scanner) -> None:
    await ada.starts()
    first = await ada.adds("0.0015", True, "ocr")
    await ada.adds("0.01")
    again = await ada.adds("0.00150", True, "ocr")
    assert (again.step, again.is_new) == (first.step, False)
    assert again.operation == ada.operation()
    assert (await ada.stands())[1][0] == 11_500_000


async def test_the_same_step_again_is_answered_when_the_operation_is_finished(ada: Scanner) -> None:
    await ada.starts()
    first = await ada.adds("0.0015", True, "ocr")
    await ada.fails()
    again = await ada.adds("0.0015", True, "ocr")
    assert (again.step, again.operation.status) == (first.step, OperationStatus.FAILED)
    assert (await ada.stands())[1] == (1_500_000, 0)


async def test_the_same_step_twice_in_one_batch_is_booked_once(ada: Scanner) -> None:
    await ada.starts()
    first, second = await ada.adding.execute(calls(ada.to_add("0.01", True, "ocr"), ada.to_add("0.01", True, "ocr")))
    assert isinstance(first, AddedStep)
    assert isinstance(second, AddedStep)
    assert (first.is_new, second.is_new) == (True, False)
    assert await ada.stands() == ((1, 0), (CENT, 0))


@pytest.mark.parametrize(("cost", "billable_run", "feature"), [("0.02", True, "ocr"), ("0.01", False, "ocr"), ("0.01", True, "ai")])
async def test_another_step_under_the_same_id_is_refused(ada: Scanner, cost: str, billable_run: bool, feature: str) -> None:
    await ada.starts()
    await ada.adds("0.01", True, "step", feature="ocr")
    with pytest.raises(StepConflict) as refusal:
        await ada.adds(cost, billable_run, "step", feature=feature)
    assert refusal.value.facts() == {"operation_id": "scan", "step_id": "step"}
    assert (await ada.stands())[1][0] == CENT


async def test_two_operations_may_have_steps_of_the_same_id(ada: Scanner, bob: Scanner) -> None:
    for scanner, id in ((ada, "scan"), (ada, "other"), (bob, "scan")):
        await scanner.starts(id)
        assert (await scanner.adds("0.01", id="ocr", to=id)).is_new
    assert (await ada.stands())[1][0] == 2 * CENT


@pytest.mark.parametrize("end", [Scanner.completes, Scanner.fails])
async def test_a_finished_operation_takes_no_steps(ada: Scanner, end: End) -> None:
    await ada.starts()
    await end(ada)
    with pytest.raises(InvalidOperationState) as refusal:
        await ada.adds("0.01", True, "late")
    assert refusal.value.facts() == {"operation_id": "scan", "status": ada.operation().status.value}
    assert (ada.store.steps, ada.store.ledger) == ({}, [])


async def test_an_operation_that_does_not_exist_takes_no_steps(ada: Scanner, bob: Scanner) -> None:
    await bob.starts()
    with pytest.raises(OperationNotFound):
        await ada.adds("0.01")


@pytest.mark.parametrize("cost", ["-0.01", "-1e-12", "-1e-300", "NaN", "Infinity", "9000000.000000001", "1e999999"])
async def test_a_cost_that_is_no_amount_is_refused(ada: Scanner, cost: str) -> None:
    await ada.starts()
    with pytest.raises(InvalidQuantity):
        await ada.adds(cost)
    assert (ada.store.steps, ada.operation().step_count) == ({}, 0)


# All or nothing.


async def test_a_refused_step_leaves_its_neighbours_in_the_batch_alone(ada: Scanner) -> None:
    await ada.starts("scan", "1", 10)
    commands = [ada.to_add("0.01", True), ada.to_add("-1"), ada.to_add("0.02", True), ada.to_add("0.01", to="nowhere")]
    first, negative, second, nowhere = await ada.adding.execute(calls(*commands))
    assert isinstance(negative, InvalidQuantity)
    assert isinstance(nowhere, OperationNotFound)
    assert isinstance(first, AddedStep)
    assert isinstance(second, AddedStep)
    assert (first.step.position, second.step.position, second.operation.total_cost) == (1, 2, 3 * CENT)
    assert await ada.stands() == ((2, 8), (3 * CENT, 97 * CENT))


async def test_a_step_whose_cost_cannot_be_booked_books_no_run_and_keeps_the_hold(ada: Scanner) -> None:
    ada.moves_to(Plan("unlimited", 1, "Unlimited", {AI_RUNS.key: Metered(None), AI_COST.key: Metered(None)}))
    await ada.starts("scan", "1", 1)
    ada.store.counters["ada", "ai_cost"] = replace(ada.store.counters["ada", "ai_cost"], used=USED_PARTS_MAX)
    with pytest.raises(InvalidQuantity):
        await ada.adds("0.01", True)
    assert ada.store.ledger == []
    assert [ada.store.held_at("ada", feature, NOW) for feature in ("ai_runs", "ai_cost")] == [1, DOLLAR]


async def test_a_step_that_was_not_committed_left_nothing(ada: Scanner) -> None:
    class Failing(FakeOperationsUnitOfWork):
        async def commit(self) -> None:
            raise StorageUnavailable

    await ada.starts()
    before = await ada.stands()
    ada.adding = AddStep(lambda: Failing(ada.store), ada.clock)
    with pytest.raises(StorageUnavailable):
        await ada.adds("0.01", True)
    assert (ada.store.steps, ada.store.ledger, ada.operation().total_cost) == ({}, [], 0)
    assert await ada.stands() == before


async def test_only_a_customer_has_steps(ada: Scanner) -> None:
    with pytest.raises(CustomerNotFound):
        await Scanner(ada.store, ACME).adds_standalone("0.02")


Batches = list[list[tuple[int, int, bool]]]


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[int], Batches, list[int]]:
    """Operations by their estimates; batches of steps: of which operation, at what cost, billable; the order in which they end."""
    estimates = draw(st.lists(st.integers(0, DOLLAR // 2), min_size=1, max_size=4))
    step = st.tuples(st.integers(0, len(estimates) - 1), st.integers(0, 2 * DOLLAR), st.booleans())
    batches = draw(st.lists(st.lists(step, min_size=1, max_size=5), max_size=6))
    return estimates, batches, draw(st.permutations(range(len(estimates))))


@given(interleavings())
async def test_any_interleaving_of_steps_adds_up_exactly(interleaving: tuple[list[int], Batches, list[int]]) -> None:
    """However steps are spread over operations and batches: ledger, counters and totals are their sum, and holds what is left."""
    estimates, batches, ending = interleaving
    ada = Scanner(FakeOperationStore())
    for n, estimate in enumerate(estimates):
        await ada.starts(f"op-{n}", str(AI_COST.units(estimate)), 1)
    costs, runs = [0] * len(estimates), [0] * len(estimates)
    for batch in batches:
        commands = [ada.to_add(str(AI_COST.units(cost)), billable, to=f"op-{n}") for n, cost, billable in batch]
        outcomes = await ada.adding.execute(calls(*commands))
        assert all(isinstance(outcome, AddedStep) for outcome in outcomes)
        for n, cost, billable in batch:
            costs[n] += cost
            runs[n] += billable
    operations = [ada.operation(f"op-{n}") for n in range(len(estimates))]
    assert [operation.total_cost for operation in operations] == costs
    assert [operation.total_runs for operation in operations] == runs
    held_cost = sum(max(estimate - cost, 0) for estimate, cost in zip(estimates, costs, strict=True))
    held_runs = sum(max(1 - run, 0) for run in runs)
    assert await ada.stands() == ((sum(runs), held_runs), (sum(costs), held_cost))
    budget = await ada.budget()
    assert sum(spend.cost for spend in budget.by_feature) == budget.cost.used == sum(costs)
    for n in ending:
        await ada.completes(f"op-{n}")
    assert await ada.stands() == ((sum(runs), 0), (sum(costs), 0))


@given(st.lists(st.decimals(0, 9, places=9), max_size=20))
async def test_a_total_is_the_exact_sum_of_its_costs(costs: list[Decimal]) -> None:
    ada = Scanner(FakeOperationStore())
    await ada.starts("scan", "0", 0)
    for cost in costs:
        await ada.adds(str(cost))
    assert ada.operation().total_cost == sum(costs, Decimal(0)) * DOLLAR
