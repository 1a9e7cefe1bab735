"""A customer is changed in part: what is not named stays."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from core.customers.customer import Customer
from core.customers.phone_region import InvalidPhoneRegion
from core.customers.put_customer import ChangeCustomer, CustomerChanges, InvalidBillingAnchor, InvalidTimeZone
from core.metering.account import CustomerNotFound
from core.plans.periods import Billing, Interval
from core.plans.plan import Metered, Plan, PlanNotFound
from tests.unit.fakes.customers import CustomersStore, FakeCustomersUnitOfWork, FakePhoneRegions

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ANCHOR = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
VIENNA = ZoneInfo("Europe/Vienna")
BILLING = Billing(ANCHOR, Interval.MONTH, VIENNA)
ACME = Customer(id="acme", plan_key="pro", plan_version=1, billing=BILLING, phone_region="AT", created_at=NOW, updated_at=NOW)
PLANS = [Plan("pro", version, "Pro", {"sessions": Metered(version)}) for version in (1, 2)] + [Plan("starter", 5, "Starter", {})]


@pytest.fixture
def store() -> CustomersStore:
    return CustomersStore(PLANS, [ACME])


async def change(store: CustomersStore, changes: CustomerChanges, customer_id: str = "acme") -> Customer:
    return await ChangeCustomer(store.unit_of_work, lambda: LATER, FakePhoneRegions(), uuid4).execute(customer_id, changes, "key")


OTHER_ANCHOR = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"plan": "starter"}, replace(ACME, plan_key="starter", plan_version=5)),
        ({"billing_anchor": OTHER_ANCHOR}, replace(ACME, billing=Billing(OTHER_ANCHOR, Interval.MONTH, VIENNA))),
        ({"billing_anchor": None}, replace(ACME, billing=Billing(None, Interval.MONTH, VIENNA))),
        ({"billing_interval": Interval.WEEK}, replace(ACME, billing=Billing(ANCHOR, Interval.WEEK, VIENNA))),
        ({"time_zone": "Asia/Tokyo"}, replace(ACME, billing=Billing(ANCHOR, Interval.MONTH, ZoneInfo("Asia/Tokyo")))),
        ({"phone_region": "US"}, replace(ACME, phone_region="US")),
        ({"phone_region": None}, replace(ACME, phone_region=None)),
        ({}, ACME),
    ],
)
async def test_what_is_named_changes_and_everything_else_stays(store: CustomersStore, changes: CustomerChanges, expected: Customer) -> None:
    assert await change(store, changes) == replace(expected, updated_at=LATER)
    assert store.customers == {"acme": replace(expected, updated_at=LATER)}


async def test_a_region_that_was_stored_before_it_was_checked_stays_where_it_is_not_named(store: CustomersStore) -> None:
    store.customers["acme"] = replace(ACME, phone_region="UK")
    assert (await change(store, {"plan": "starter"})).phone_region == "UK"


async def test_several_things_change_together(store: CustomersStore) -> None:
    changed = await change(store, {"plan": "starter", "billing_interval": Interval.YEAR, "phone_region": "US"})
    assert (changed.plan_key, changed.billing, changed.phone_region) == ("starter", Billing(ANCHOR, Interval.YEAR, VIENNA), "US")


async def test_a_customer_stays_on_its_version_until_its_plan_is_named_again(store: CustomersStore) -> None:
    assert (await change(store, {"phone_region": "US"})).plan_version == 1
    assert (await change(store, {"plan": "pro"})).plan_version == 2


async def test_an_unknown_customer_is_not_created(store: CustomersStore) -> None:
    with pytest.raises(CustomerNotFound) as refusal:
        await change(store, {"phone_region": "US"}, "nobody")
    assert (refusal.value.identity, store.customers) == ("nobody", {"acme": ACME})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"plan": "unheard_of"}, PlanNotFound),
        ({"time_zone": "Europe/Atlantis"}, InvalidTimeZone),
        ({"billing_anchor": datetime(1969, 12, 31, tzinfo=UTC)}, InvalidBillingAnchor),
        ({"phone_region": "UK"}, InvalidPhoneRegion),
    ],
)
async def test_where_one_change_is_refused_nothing_changes(store: CustomersStore, changes: CustomerChanges, error: type[Exception]) -> None:
    with pytest.raises(error):
        await change(store, {"phone_region": "US", **changes})
    assert store.customers == {"acme": ACME}


async def test_two_changes_at_the_same_time_both_stand(store: CustomersStore) -> None:
    class SlowUnitOfWork(FakeCustomersUnitOfWork):
        async def commit(self) -> None:
            await asyncio.sleep(0)  # lets the other run between a decision and its commit
            await super().commit()

    use_case = ChangeCustomer(lambda: SlowUnitOfWork(store), lambda: LATER, FakePhoneRegions(), uuid4)
    both: list[CustomerChanges] = [{"phone_region": "US"}, {"billing_interval": Interval.DAY}]
    await asyncio.gather(*(use_case.execute("acme", changes, "key") for changes in both))
    customer = store.customers["acme"]
    assert (customer.phone_region, customer.billing.interval) == ("US", Interval.DAY)
