"""An operation begins only where its estimate fits, and holds it."""

from datetime import timedelta
from decimal import Decimal

import pytest

from core.metering.account import CustomerNotFound
from core.metering.balance import FeatureNotInPlan, LimitExceeded
from core.metering.reservations import ReservationState
from core.operations.estimate import Estimate
from core.operations.features import AI_COST, AI_RUNS
from core.operations.operation import OperationConflict, OperationStatus
from core.operations.ports import WholeOperation
from core.operations.start_operation import HELD_FOR
from core.plans.features import InvalidQuantity
from core.plans.plan import Enforcement, Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW
from tests.unit.fakes.operations import CENT, DOLLAR, Scanner

ONLY_RUNS = Plan("only_runs", 1, "Only runs", {AI_RUNS.key: Metered(2)})
ONLY_COST = Plan("only_cost", 1, "Only cost", {AI_COST.key: Metered(DOLLAR)})
NEITHER = Plan("neither", 1, "Neither", {"sessions": Metered(3)})


async def test_an_operation_starts_empty_and_holds_its_estimate(ada: Scanner) -> None:
    started = await ada.starts("scan", "0.002", 1)
    operation = started.operation
    assert (operation.id, operation.status, operation.total_cost, operation.total_runs) == ("scan", OperationStatus.RUNNING, 0, 0)
    assert (started.steps, started.is_new, operation.created_at) == ((), True, NOW)
    assert await ada.stands() == ((0, 1), (0, 2_000_000))
    assert ada.store.ledger == []
    assert ada.operation() == operation


async def test_the_hold_lasts_for_an_hour_and_names_the_operation(ada: Scanner) -> None:
    operation = (await ada.starts()).operation
    assert operation.hold_id is not None
    hold = ada.store.reservations["ada", operation.hold_id]
    assert (hold.expires_at - hold.created_at, hold.reference) == (timedelta(hours=1), "scan")


async def test_what_was_held_returns_when_the_hold_expires(ada: Scanner) -> None:
    await ada.starts("scan", "3", 30)
    with pytest.raises(LimitExceeded):
        await ada.starts("other", "0.01", 1)
    ada.now += HELD_FOR
    await ada.starts("other", "0.01", 1)
    assert await ada.stands() == ((0, 1), (0, CENT))


async def test_an_operation_without_an_id_gets_one(ada: Scanner) -> None:
    first, second = await ada.starts(None), await ada.starts(None)
    assert first.operation.id != second.operation.id
    assert await ada.stands() == ((0, 2), (0, 4_000_000))


@pytest.mark.parametrize(("cost", "runs", "bound"), [("3.000000001", 1, AI_COST), ("0.01", 31, AI_RUNS), ("4", 31, AI_RUNS)])
async def test_an_estimate_that_does_not_fit_is_refused_and_nothing_is_held(ada: Scanner, cost: str, runs: int, bound: object) -> None:
    with pytest.raises(LimitExceeded) as refusal:
        await ada.starts("scan", cost, runs)
    assert refusal.value.balance.feature == bound
    assert await ada.stands() == ((0, 0), (0, 0))
    assert ada.store.operations == {}


async def test_an_estimate_may_take_all_that_is_left(ada: Scanner) -> None:
    await ada.starts("scan", "3", 30)
    assert await ada.stands() == ((0, 30), (0, 3 * DOLLAR))


async def test_what_other_running_operations_hold_counts(ada: Scanner) -> None:
    await ada.starts("first", "2", 1)
    with pytest.raises(LimitExceeded) as refusal:
        await ada.starts("second", "1.01", 1)
    facts = refusal.value.facts()
    assert {name: facts[name] for name in ("feature", "current_usage", "held", "requested", "limit", "remaining")} == {
        "feature": "ai_cost",
        "current_usage": 0,
        "held": 2,
        "requested": Decimal("1.01"),
        "limit": 3,
        "remaining": 1,
    }
    await ada.starts("second", "1", 1)


async def test_customers_have_budgets_of_their_own_and_may_use_the_same_ids(ada: Scanner, bob: Scanner) -> None:
    await ada.starts("scan", "3", 30)
    await bob.starts("scan", "3", 30)
    assert await bob.stands() == ((0, 30), (0, 3 * DOLLAR))


async def test_operations_started_at_once_are_decided_in_order_and_never_hold_too_much(ada: Scanner) -> None:
    outcomes = await ada.starting.execute(calls(*(ada.to_start(f"scan-{n}", "0.70", 1) for n in range(6))))
    assert [isinstance(outcome, WholeOperation) for outcome in outcomes] == [True] * 4 + [False] * 2
    assert await ada.stands() == ((0, 4), (0, 280 * CENT))


# Where the estimate is nothing.


async def test_an_estimate_of_nothing_holds_nothing(ada: Scanner) -> None:
    operation = (await ada.starts("scan", "0", 0)).operation
    assert operation.hold_id is None
    assert await ada.stands() == ((0, 0), (0, 0))


@pytest.mark.parametrize("spent", ["3", "3.5"])
async def test_without_any_budget_left_nothing_starts_though_it_is_estimated_at_nothing(ada: Scanner, spent: str) -> None:
    await ada.adds_standalone(spent)
    with pytest.raises(LimitExceeded) as refusal:
        await ada.starts("scan", "0", 0)
    assert refusal.value.feature == "ai_cost"


async def test_with_the_smallest_budget_left_an_operation_that_is_estimated_at_nothing_starts(ada: Scanner) -> None:
    await ada.adds_standalone("2.999999999")
    await ada.starts("scan", "0", 0)


async def test_without_a_run_left_an_operation_that_needs_none_starts(ada: Scanner) -> None:
    for _ in range(30):
        await ada.adds_standalone("0")
    with pytest.raises(LimitExceeded) as refusal:
        await ada.starts("scan", "0.01", 1)
    assert refusal.value.feature == "ai_runs"
    await ada.starts("scan", "0.01", 0)


# Where the plan does not have both features.


async def test_a_plan_without_a_budget_limits_runs_only(ada: Scanner) -> None:
    ada.moves_to(ONLY_RUNS)
    await ada.starts("scan", "0", 2)
    with pytest.raises(LimitExceeded):
        await ada.starts("other", "0", 1)
    with pytest.raises(FeatureNotInPlan) as refusal:
        await ada.starts("other", "0.01", 0)
    assert refusal.value.feature == "ai_cost"


async def test_a_plan_without_runs_limits_the_budget_only(ada: Scanner) -> None:
    ada.moves_to(ONLY_COST)
    await ada.starts("scan", "1", 0)
    with pytest.raises(FeatureNotInPlan) as refusal:
        await ada.starts("other", "0", 1)
    assert refusal.value.feature == "ai_runs"


async def test_a_plan_with_neither_has_no_operations(ada: Scanner) -> None:
    ada.moves_to(NEITHER)
    with pytest.raises(FeatureNotInPlan):
        await ada.starts("scan", "0", 0)


async def test_soft_limits_let_operations_start_beyond_them(ada: Scanner) -> None:
    soft = {AI_RUNS.key: Metered(1, enforcement=Enforcement.SOFT), AI_COST.key: Metered(0, enforcement=Enforcement.SOFT)}
    ada.moves_to(Plan("soft", 1, "Soft", soft))
    await ada.starts("scan", "5", 2)


# Once.


async def test_starting_again_answers_with_the_operation_as_it_stands(ada: Scanner) -> None:
    await ada.starts()
    added = await ada.adds("0.0015")
    again = await ada.starts()
    assert (again.operation, again.steps, again.is_new) == (added.operation, (added.step,), False)
    assert await ada.stands() == ((0, 1), (1_500_000, 500_000))
    await ada.completes()
    assert (await ada.starts()).operation.status is OperationStatus.COMPLETED


async def test_starting_again_is_answered_though_nothing_is_left(ada: Scanner) -> None:
    await ada.starts("scan", "3", 30)
    assert not (await ada.starts("scan", "3", 30)).is_new


@pytest.mark.parametrize(("cost", "runs", "feature"), [("0.003", 1, "scan"), ("0.002", 2, "scan"), ("0.002", 1, "other")])
async def test_another_operation_under_the_same_id_is_refused(ada: Scanner, cost: str, runs: int, feature: str) -> None:
    await ada.starts("scan", "0.002", 1)
    with pytest.raises(OperationConflict) as refusal:
        await ada.starts("scan", cost, runs, feature)
    assert refusal.value.facts() == {"operation_id": "scan"}


async def test_a_standalone_operations_id_is_taken(ada: Scanner) -> None:
    await ada.adds_standalone("0", billable_run=False, id="scan", feature="scan")
    with pytest.raises(OperationConflict):
        await ada.starts("scan", "0", 0)


async def test_the_same_start_twice_in_one_batch_holds_once(ada: Scanner) -> None:
    first, second = await ada.starting.execute(calls(ada.to_start(), ada.to_start()))
    assert isinstance(first, WholeOperation)
    assert isinstance(second, WholeOperation)
    assert (first.is_new, second.is_new, first.operation) == (True, False, second.operation)
    assert await ada.stands() == ((0, 1), (0, 2_000_000))


@pytest.mark.parametrize("cost", ["-0.01", "-1e-12", "3.7e-10", "1e-300", "NaN", "Infinity", "-Infinity", "1e999999"])
async def test_an_estimate_that_is_no_amount_is_refused(ada: Scanner, cost: str) -> None:
    with pytest.raises(InvalidQuantity):
        await ada.starts("scan", cost, 1)
    assert ada.store.operations == {}


async def test_an_estimate_is_rounded_to_the_nano_dollar(ada: Scanner) -> None:
    estimate = (await ada.starts("scan", "0.1234567895000001")).operation.estimate
    assert estimate == Estimate(cost=123_456_790, runs=1)


async def test_only_a_customer_has_operations(ada: Scanner) -> None:
    stranger = Scanner(ada.store, ACME)
    with pytest.raises(CustomerNotFound):
        await stranger.starts()


async def test_the_hold_of_a_started_operation_is_a_reservation_like_every_other(ada: Scanner) -> None:
    await ada.starts("scan", "0.002", 0)
    (hold,) = ada.store.reservations.values()
    assert (hold.usage, hold.state_at(NOW)) == ({"ai_cost": 2_000_000}, ReservationState.HELD)
