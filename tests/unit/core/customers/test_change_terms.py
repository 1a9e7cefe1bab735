"""Scheduled changes, overrides and add-ons: what decisions see of them, and what the history keeps."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from core.customers.customer import Customer
from core.customers.override_limit import EndOverride, EndOverrideCommand, InvalidUntil, OverrideLimit, OverrideLimitCommand
from core.customers.put_addon import ADDONS_MAX, PutAddon, PutAddonCommand, TooManyAddons
from core.customers.put_customer import ChangeCustomer, CustomerChanges, PutCustomer, PutCustomerCommand
from core.customers.schedule_plan import (
    CallOffPlan,
    CallOffPlanCommand,
    InvalidEffectiveAt,
    Moment,
    SchedulePlan,
    SchedulePlanCommand,
)
from core.metering.account import CustomerNotFound
from core.metering.balance import FeatureNotInPlan
from core.plans.agreement import NO_AGREEMENT, Addon, Override
from core.plans.features import InvalidQuantity
from core.plans.periods import Billing, Interval, Weekday
from core.plans.plan import Metered, Plan, PlanNotFound
from core.plans.terms import Terms, TermsHistory
from tests.unit.fakes.customers import CustomersStore, FakePhoneRegions

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PERIOD_END = datetime(2026, 12, 1, tzinfo=UTC)
MONTHLY = Billing(datetime(2026, 1, 1, tzinfo=UTC), Interval.MONTH, ZoneInfo("UTC"))
PLANS = [
    Plan("pro", 1, "Pro", {"sessions": Metered(100)}),
    Plan("free", 2, "Free", {"sessions": Metered(10)}),
    Plan("seats", 1, "Seats", {"sessions": Metered(5)}),
    *(Plan(f"pack-{number}", 1, "Pack", {}) for number in range(ADDONS_MAX)),
]


def new_id(ids: "count[int]" = count(1)) -> UUID:  # noqa: B008 - one sequence for the module: ids grow, as real ones do
    return UUID(int=next(ids))


@pytest.fixture
async def store() -> CustomersStore:
    store = CustomersStore(PLANS)
    changes: CustomerChanges = {"billing_anchor": MONTHLY.anchor}
    await PutCustomer(store.unit_of_work, lambda: NOW, FakePhoneRegions(), new_id).execute(
        PutCustomerCommand(customer_id="acme", plan="pro", changes=changes, changed_by="owner")
    )
    return store


def terms(store: CustomersStore, at: datetime) -> Terms | None:
    return TermsHistory.of(store.terms.values()).at(at)


async def schedule(store: CustomersStore, at: datetime | Moment, plan: str = "free", customer_id: str = "acme") -> Customer:
    command = SchedulePlanCommand(customer_id=customer_id, plan=plan, effective_at=at, changed_by="sales")
    return await SchedulePlan(store.unit_of_work, lambda: NOW, new_id).execute(command)


async def call_off(store: CustomersStore, now: datetime = NOW) -> Customer:
    return await CallOffPlan(store.unit_of_work, lambda: now, new_id).execute(CallOffPlanCommand(customer_id="acme", changed_by="sales"))


async def patch(store: CustomersStore, changes: CustomerChanges, now: datetime = NOW) -> Customer:
    return await ChangeCustomer(store.unit_of_work, lambda: now, FakePhoneRegions(), new_id).execute("acme", changes, "owner")


async def override(store: CustomersStore, **more: object) -> Customer:
    command = OverrideLimitCommand(**{"customer_id": "acme", "feature": "sessions", "limit": Decimal(7), "changed_by": "sales"} | more)  # type: ignore[arg-type]
    return await OverrideLimit(store.unit_of_work, lambda: NOW, new_id).execute(command)


async def addon(store: CustomersStore, plan: str, quantity: int) -> Customer:
    command = PutAddonCommand(customer_id="acme", plan=plan, quantity=quantity, changed_by="sales")
    return await PutAddon(store.unit_of_work, lambda: NOW, new_id).execute(command)


def plan_at(store: CustomersStore, at: datetime) -> tuple[str, int]:
    return store.customers["acme"].at(at).plan


async def test_a_change_at_the_periods_end_takes_effect_then_and_not_before(store: CustomersStore) -> None:
    customer = await schedule(store, Moment.PERIOD_END)
    assert customer.agreement.scheduled is not None
    assert customer.agreement.scheduled.effective_at == PERIOD_END
    for at, plan in ((PERIOD_END - timedelta(microseconds=1), ("pro", 1)), (PERIOD_END, ("free", 2))):
        assert plan_at(store, at) == plan
        found = terms(store, at)
        assert found is not None
        assert found.plan == plan
    assert store.customers["acme"].at(PERIOD_END).agreement == NO_AGREEMENT


async def test_another_scheduled_change_takes_the_place_of_the_first(store: CustomersStore) -> None:
    await schedule(store, Moment.PERIOD_END)
    await schedule(store, PERIOD_END + timedelta(days=1), plan="seats")
    assert plan_at(store, PERIOD_END) == ("pro", 1)
    assert plan_at(store, PERIOD_END + timedelta(days=1)) == ("seats", 1)
    found = terms(store, PERIOD_END)
    assert found is not None
    assert found.plan == ("pro", 1)


@pytest.mark.parametrize("plan", ["seats", "pro"])
async def test_another_plan_at_once_calls_the_scheduled_one_off_and_the_same_plan_leaves_it(store: CustomersStore, plan: str) -> None:
    await schedule(store, Moment.PERIOD_END)
    await patch(store, {"plan": plan})
    expected = ("free", 2) if plan == "pro" else ("seats", 1)
    assert plan_at(store, PERIOD_END) == expected
    found = terms(store, PERIOD_END)
    assert found is not None
    assert found.plan == expected


async def test_a_change_that_is_due_is_what_later_changes_build_on(store: CustomersStore) -> None:
    await schedule(store, Moment.PERIOD_END)
    await patch(store, {"phone_region": "AT"}, PERIOD_END + timedelta(hours=1))
    customer = store.customers["acme"]
    assert (customer.plan, customer.agreement) == (("free", 2), NO_AGREEMENT)
    await call_off(store, PERIOD_END + timedelta(hours=2))
    assert plan_at(store, PERIOD_END + timedelta(hours=2)) == ("free", 2)


async def test_calling_off_leaves_the_plan_and_is_the_same_again(store: CustomersStore) -> None:
    await schedule(store, Moment.PERIOD_END)
    for _ in range(2):
        assert (await call_off(store)).agreement == NO_AGREEMENT
    assert plan_at(store, PERIOD_END) == ("pro", 1)
    assert {entry.withdrawn_by for entry in store.terms.values()} == {None, "sales"}


@pytest.mark.parametrize("at", [NOW, NOW - timedelta(days=1), datetime(2300, 1, 1, tzinfo=UTC)])
async def test_a_change_in_the_past_or_in_centuries_is_refused(store: CustomersStore, at: datetime) -> None:
    with pytest.raises(InvalidEffectiveAt):
        await schedule(store, at)
    assert store.customers["acme"].agreement == NO_AGREEMENT


async def test_a_period_that_never_ends_has_no_end_to_wait_for(store: CustomersStore) -> None:
    await patch(store, {"billing_anchor": None})
    with pytest.raises(InvalidEffectiveAt, match="never ends"):
        await schedule(store, Moment.PERIOD_END)


async def test_an_unknown_plan_or_customer_cannot_be_scheduled(store: CustomersStore) -> None:
    with pytest.raises(PlanNotFound):
        await schedule(store, Moment.PERIOD_END, plan="nosuch")
    with pytest.raises(CustomerNotFound):
        await schedule(store, Moment.PERIOD_END, customer_id="nobody")


async def test_an_override_counts_at_once_stays_over_plan_changes_and_ends_when_removed(store: CustomersStore) -> None:
    await override(store, reason="pilot")
    await patch(store, {"plan": "free"})
    assert store.customers["acme"].agreement.overrides == (Override("sessions", 7, reason="pilot"),)
    later = NOW + timedelta(days=1)
    command = EndOverrideCommand(customer_id="acme", feature="sessions", changed_by="sales")
    for _ in range(2):
        assert (await EndOverride(store.unit_of_work, lambda: later, new_id).execute(command)).agreement == NO_AGREEMENT
    before, after = terms(store, later - timedelta(microseconds=1)), terms(store, later)
    assert before is not None
    assert after is not None
    assert [item.limit for item in before.agreement.overrides] == [7]
    assert after.agreement.overrides == ()


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"limit": Decimal("-1")}, InvalidQuantity),
        ({"limit": Decimal("0.5")}, InvalidQuantity),
        ({"limit": Decimal("NaN")}, InvalidQuantity),
        ({"limit": Decimal("1e30")}, InvalidQuantity),
        ({"feature": "nosuch"}, FeatureNotInPlan),
        ({"until": NOW}, InvalidUntil),
    ],
)
async def test_an_override_that_makes_no_sense_is_refused_and_nothing_is_kept(
    store: CustomersStore, more: dict[str, object], error: type[Exception]
) -> None:
    kept = dict(store.terms)
    with pytest.raises(error):
        await override(store, **more)
    assert store.terms == kept


async def test_an_addon_counts_as_often_as_was_said_last_and_not_at_all_once_removed(store: CustomersStore) -> None:
    await addon(store, "seats", 2)
    assert (await addon(store, "seats", 3)).agreement.addons == (Addon(("seats", 1), 3),)
    entries = len(store.terms)
    await addon(store, "seats", 3)
    assert len(store.terms) == entries, "nothing changed, and so nothing is kept"
    assert (await addon(store, "seats", 0)).agreement == NO_AGREEMENT
    assert (await addon(store, "nosuch", 0)).agreement == NO_AGREEMENT
    with pytest.raises(PlanNotFound):
        await addon(store, "nosuch", 1)


async def test_addons_have_a_bound(store: CustomersStore) -> None:
    for number in range(ADDONS_MAX):
        await addon(store, f"pack-{number}", 1)
    with pytest.raises(TooManyAddons):
        await addon(store, "seats", 1)
    await addon(store, "pack-1", 2)


async def test_who_changed_what_is_kept_and_what_changes_nothing_is_not(store: CustomersStore) -> None:
    for changes in ({"plan": "pro"}, {"phone_region": "AT"}, {"billing_interval": Interval.MONTH}):
        await patch(store, changes)  # type: ignore[arg-type]
    (created,) = store.terms.values()
    assert (created.recorded_by, created.plan, created.billing) == ("owner", ("pro", 1), MONTHLY)
    await patch(store, {"billing_interval_count": 3, "time_zone": None})
    assert len(store.terms) == 2
    await patch(store, {"week_starts_on": Weekday.SUNDAY})
    await patch(store, {"billing_interval": Interval.YEAR})
    kept = MONTHLY._replace(interval=Interval.YEAR, interval_count=3, week_starts_on=Weekday.SUNDAY)
    assert store.customers["acme"].billing == kept
    assert all(isinstance(entry.id, UUID) for entry in store.terms.values())


async def test_a_change_by_a_process_whose_clock_is_behind_comes_after_what_it_builds_on(store: CustomersStore) -> None:
    await patch(store, {"plan": "free"}, NOW + timedelta(milliseconds=40))
    await patch(store, {"plan": "seats"}, NOW + timedelta(milliseconds=10))
    found = terms(store, NOW + timedelta(days=1))
    assert found is not None
    assert found.plan == plan_at(store, NOW + timedelta(days=1)) == ("seats", 1)
