"""Where the budget stands, what spent it, and whether it could bear more: the rules of starting, without starting."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metering.account import CustomerNotFound
from core.metering.balance import FeatureNotInPlan, LimitExceeded
from core.metering.ledger import OTHER, SHARES_MAX, Breakdown, Share, bounded
from core.operations.budget import FeatureSpend
from core.operations.features import AI_COST, AI_RUNS
from core.operations.ports import WholeOperation
from core.plans.features import InvalidQuantity
from core.plans.plan import Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME
from tests.unit.fakes.operations import ADA, CENT, DOLLAR, FakeOperationStore, Scanner


async def test_a_budget_shows_what_is_used_and_held_and_by_which_features(ada: Scanner) -> None:
    await ada.starts("scan", "0.01", 2)
    await ada.adds("0.0015", feature="ocr")
    await ada.adds("0.000108", billable_run=True, feature="ai")
    budget = await ada.budget()
    assert (budget.plan, budget.runs.used, budget.runs.held, budget.runs.remaining) == ("premium", 1, 1, 28)
    assert (budget.cost.used, budget.cost.held, budget.cost.remaining) == (1_608_000, 8_392_000, 3 * DOLLAR - CENT)
    assert budget.by_feature == [FeatureSpend("ocr", 1_500_000, 0), FeatureSpend("ai", 108_000, 1)]


async def test_a_new_customers_budget_is_whole(ada: Scanner) -> None:
    budget = await ada.budget()
    assert (budget.runs.used, budget.cost.used, budget.by_feature) == (0, 0, [])


async def test_the_totals_are_those_of_the_shares_though_the_counter_has_drifted(ada: Scanner) -> None:
    await ada.adds_standalone("1")
    ada.store.counters["ada", "ai_cost"] = replace(ada.store.counters["ada", "ai_cost"], used=2 * DOLLAR)
    budget = await ada.budget()
    assert budget.cost.used == sum(spend.cost for spend in budget.by_feature) == DOLLAR


async def test_what_ran_at_no_cost_comes_last(ada: Scanner) -> None:
    await ada.adds_standalone("0", feature="free")
    await ada.adds_standalone("0.01", billable_run=False, feature="paid")
    assert (await ada.budget()).by_feature == [FeatureSpend("paid", CENT, 0), FeatureSpend("free", 0, 1)]


async def test_a_plan_without_the_features_shows_what_was_booked_against_nothing(ada: Scanner) -> None:
    ada.moves_to(Plan("neither", 1, "Neither", {"sessions": Metered(1)}))
    await ada.adds_standalone("0.01")
    budget = await ada.budget()
    assert (budget.runs.used, budget.runs.limit, budget.cost.used, budget.cost.limit) == (1, 0, CENT, 0)


@given(
    st.dictionaries(
        st.sampled_from([OTHER, *(f"feature-{n}" for n in range(SHARES_MAX + 20))]),
        st.tuples(st.integers(0, DOLLAR), st.integers(0, 3)),
        max_size=SHARES_MAX + 20,
    )
)
async def test_shares_add_up_to_the_totals_however_many_features_there_are(spent: dict[str, tuple[int, int]]) -> None:
    ada = Scanner(FakeOperationStore())
    commands = []
    for feature, (cost, runs) in spent.items():
        await ada.starts(feature, "0", 0)
        commands += [ada.to_add(str(AI_COST.units(cost)), to=feature, feature=feature)]
        commands += [ada.to_add("0", billable_run=True, to=feature, feature=feature)] * runs
    ada.moves_to(Plan("unlimited", 1, "Unlimited", {AI_RUNS.key: Metered(None), AI_COST.key: Metered(None)}))
    await ada.adding.execute(calls(*commands))
    budget = await ada.budget()
    assert len(budget.by_feature) <= SHARES_MAX
    assert len({spend.feature for spend in budget.by_feature}) == len(budget.by_feature)
    assert sum(spend.cost for spend in budget.by_feature) == budget.cost.used == sum(cost for cost, _ in spent.values())
    assert sum(spend.runs for spend in budget.by_feature) == budget.runs.used == sum(runs for _, runs in spent.values())
    for spend in budget.by_feature:
        if spend.feature != OTHER:
            assert spent[spend.feature or ""] == (spend.cost, spend.runs)


async def test_features_beyond_the_bound_are_added_up_as_other_with_their_runs(ada: Scanner) -> None:
    await ada.starts("scan", "0", 0)
    features = [f"feature-{n}" for n in range(SHARES_MAX + 8)] + [OTHER]
    costs = {feature: n for n, feature in enumerate(features, 1)}
    await ada.adding.execute(
        calls(*(ada.to_add(str(AI_COST.units(cost)), billable_run=True, feature=feature) for feature, cost in costs.items()))
    )
    budget = await ada.budget()
    *named, others = budget.by_feature
    assert [spend.feature for spend in named] == features[-2 : -SHARES_MAX - 1 : -1]
    assert all((spend.cost, spend.runs) == (costs[spend.feature or ""], 1) for spend in named)
    assert others == FeatureSpend(OTHER, sum(range(1, 10)) + costs[OTHER], 10)


def test_many_shares_are_bounded_and_other_comes_up_once() -> None:
    shares = [Share(OTHER, 1000), Share(None, 500), *(Share(f"d{n}", n) for n in range(1, 200))]
    shown = bounded(shares)
    assert len(shown) == SHARES_MAX
    assert shown[:2] == [Share(None, 500), Share("d199", 199)]
    assert [share.dimension for share in shown].count(OTHER) == 1
    assert sum(share.quantity for share in shown) == Breakdown(shares).used


def test_as_many_shares_as_may_be_shown_are_all_shown() -> None:
    shares = [Share(f"d{n}", n) for n in range(SHARES_MAX)]
    assert set(bounded(shares)) == set(shares)


# Whether it could bear more.


async def test_what_fits_exactly_is_affordable_and_a_nano_dollar_more_is_not(ada: Scanner) -> None:
    await ada.adds_standalone("2.98")
    assert (await ada.checks("0.02", 1)).refusal is None
    refusal = (await ada.checks("0.020000001", 1)).refusal
    assert isinstance(refusal, LimitExceeded)
    assert (refusal.feature, refusal.balance.remaining) == ("ai_cost", 2 * CENT)


async def test_what_others_hold_is_not_affordable(ada: Scanner) -> None:
    await ada.starts("scan", "2.99", 30)
    checked = await ada.checks("0.01", 1)
    assert isinstance(checked.refusal, LimitExceeded)
    assert checked.refusal.feature == "ai_runs"
    assert (checked.balances["ai_cost"].held, checked.balances["ai_runs"].remaining) == (299 * CENT, 0)
    assert (await ada.checks("0.01", 0)).refusal is None


async def test_asking_holds_nothing(ada: Scanner) -> None:
    await ada.checks("3", 30)
    assert ada.store.reservations == {}
    assert await ada.stands() == ((0, 0), (0, 0))


@pytest.mark.parametrize("cost", ["0", "0.01", "0.5", "2.999999999", "3", "3.01"])
@pytest.mark.parametrize("runs", [0, 1, 30, 31])
@pytest.mark.parametrize("spent", ["0", "1", "2.99", "3", "4"])
async def test_an_answer_is_what_starting_would_say(cost: str, runs: int, spent: str) -> None:
    ada = Scanner(FakeOperationStore())
    await ada.adds_standalone(spent)
    refusal = (await ada.checks(cost, runs)).refusal
    (outcome,) = await ada.starting.execute(calls(ada.to_start("scan", cost, runs)))
    if refusal is None:
        assert isinstance(outcome, WholeOperation)
    else:
        assert isinstance(outcome, LimitExceeded)
        assert outcome.facts() == refusal.facts()


async def test_a_plan_without_operations_affords_none(ada: Scanner) -> None:
    ada.moves_to(Plan("neither", 1, "Neither", {"sessions": Metered(1)}))
    assert isinstance((await ada.checks("0", 0)).refusal, FeatureNotInPlan)


async def test_a_cost_that_is_no_amount_is_refused(ada: Scanner) -> None:
    with pytest.raises(InvalidQuantity):
        await ada.checks("-0.01", 1)


async def test_only_a_customer_has_a_budget(ada: Scanner) -> None:
    stranger = Scanner(ada.store, ACME)
    assert stranger.customer != ADA
    with pytest.raises(CustomerNotFound):
        await stranger.budget()
    with pytest.raises(CustomerNotFound):
        await stranger.checks("0.01", 1)
