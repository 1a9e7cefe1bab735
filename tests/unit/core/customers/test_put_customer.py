"""A customer is created, or changed in what is named, on the newest version of its plan."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from core.customers.customer import Customer
from core.customers.phone_region import InvalidPhoneRegion
from core.customers.put_customer import (
    ANCHOR_EARLIEST,
    ANCHOR_LATEST,
    CustomerChanges,
    InvalidBillingAnchor,
    InvalidTimeZone,
    PutCustomer,
    PutCustomerCommand,
)
from core.errors import ConcurrentUpdate
from core.plans.periods import Billing, Interval
from core.plans.plan import Metered, Plan, PlanNotFound
from tests.unit.fakes.customers import CustomersStore, FakeCustomersUnitOfWork, FakePhoneRegions

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ANCHOR = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
PLANS = [Plan("pro", version, "Pro", {"sessions": Metered(version)}) for version in (1, 2)] + [Plan("starter", 1, "Starter", {})]
CHANGES: CustomerChanges = {
    "billing_anchor": ANCHOR,
    "billing_interval": Interval.WEEK,
    "time_zone": "Europe/Vienna",
    "phone_region": "AT",
}
COMMAND = PutCustomerCommand(customer_id="acme", plan="pro", changes=CHANGES, changed_by="key")
ACME = Customer(
    id="acme",
    plan_key="pro",
    plan_version=2,
    billing=Billing(ANCHOR, Interval.WEEK, ZoneInfo("Europe/Vienna")),
    phone_region="AT",
    created_at=NOW,
    updated_at=NOW,
)


@pytest.fixture
def store() -> CustomersStore:
    return CustomersStore(PLANS)


async def put(store: CustomersStore, command: PutCustomerCommand = COMMAND, now: datetime = NOW) -> tuple[Customer, bool]:
    return await PutCustomer(store.unit_of_work, lambda: now, FakePhoneRegions(), uuid4).execute(command)


def naming(**changes: object) -> PutCustomerCommand:
    """The command with other changes beside what it names."""
    return replace(COMMAND, changes={**CHANGES, **changes})  # type: ignore[typeddict-item]


async def test_a_new_customer_is_stored_on_the_newest_version_of_the_plan(store: CustomersStore) -> None:
    assert await put(store) == (ACME, True)
    assert store.customers == {"acme": ACME}


LATER = NOW + timedelta(days=1)
NAMED = {
    "billing_anchor": datetime(2026, 3, 1, tzinfo=UTC),
    "billing_interval": Interval.YEAR,
    "time_zone": "Asia/Tokyo",
    "phone_region": "US",
}


@pytest.mark.parametrize("name", NAMED)
async def test_of_a_known_customer_what_is_named_changes_and_everything_else_stays(store: CustomersStore, name: str) -> None:
    expected, _ = await put(CustomersStore(PLANS), naming(**{name: NAMED[name]}))
    await put(store)
    known, is_new = await put(store, replace(COMMAND, changes={name: NAMED[name]}), LATER)  # type: ignore[misc]
    assert (known, is_new) == (replace(expected, created_at=NOW, updated_at=LATER), False)
    assert store.customers == {"acme": known}


async def test_a_plan_alone_changes_nothing_else(store: CustomersStore) -> None:
    await put(store)
    known, _ = await put(store, PutCustomerCommand(customer_id="acme", plan="starter", changes={}, changed_by="key"), LATER)
    assert known == replace(ACME, plan_key="starter", plan_version=1, updated_at=LATER)


@pytest.mark.parametrize("name", ["billing_anchor", "phone_region"])
async def test_none_clears(store: CustomersStore, name: str) -> None:
    await put(store)
    known, _ = await put(store, replace(COMMAND, changes={name: None}), LATER)  # type: ignore[misc]
    assert (known.billing.anchor is None, known.phone_region is None) == (name == "billing_anchor", name == "phone_region")


async def test_a_new_customer_is_billed_monthly_from_its_creation_where_nothing_else_is_named(store: CustomersStore) -> None:
    new, is_new = await put(store, PutCustomerCommand(customer_id="acme", plan="pro", changes={}, changed_by="key"))
    assert is_new
    assert (new.billing, new.phone_region) == (Billing(NOW, Interval.MONTH, ZoneInfo("UTC")), None)
    assert (await put(store, PutCustomerCommand(customer_id="acme", plan="pro", changes={}, changed_by="key"), LATER))[
        0
    ].billing.anchor == NOW


async def test_a_new_customer_has_the_open_period_only_where_that_is_said(store: CustomersStore) -> None:
    assert (await put(store, PutCustomerCommand(customer_id="acme", plan="pro", changes={"billing_anchor": None}, changed_by="key")))[
        0
    ].billing.anchor is None


async def test_other_customers_stay_as_they_are(store: CustomersStore) -> None:
    await put(store)
    assert (await put(store, replace(COMMAND, customer_id="globex", plan="starter")))[1] is True
    assert store.customers["acme"] == ACME


async def test_a_plan_that_is_named_again_is_taken_in_its_newest_version(store: CustomersStore) -> None:
    await put(store)
    store.plans["pro", 3] = replace(PLANS[1], version=3)
    assert (await put(store))[0].plan_version == 3


async def test_a_plan_that_does_not_exist_is_refused_and_nothing_is_stored(store: CustomersStore) -> None:
    with pytest.raises(PlanNotFound) as refusal:
        await put(store, replace(COMMAND, plan="unheard_of"))
    assert (refusal.value.identity, store.customers) == ("unheard_of", {})


# Anchor and time zone.


async def test_an_anchor_is_kept_as_an_instant_whatever_its_offset(store: CustomersStore) -> None:
    written = ANCHOR.astimezone(timezone(timedelta(hours=5, minutes=45)))
    customer, _ = await put(store, naming(billing_anchor=written))
    assert customer.billing.anchor == ANCHOR
    assert customer.billing.anchor.tzinfo is UTC


@pytest.mark.parametrize("anchor", [ANCHOR_EARLIEST, ANCHOR_LATEST])
async def test_an_anchor_may_lie_between_1970_and_2200(store: CustomersStore, anchor: datetime) -> None:
    assert (await put(store, naming(billing_anchor=anchor)))[0].billing.anchor == anchor


@pytest.mark.parametrize("anchor", [ANCHOR_EARLIEST - MICROSECOND, ANCHOR_LATEST + MICROSECOND])
async def test_an_anchor_before_1970_or_after_2200_is_refused(store: CustomersStore, anchor: datetime) -> None:
    with pytest.raises(InvalidBillingAnchor, match="between 1970 and 2200"):
        await put(store, naming(billing_anchor=anchor))
    assert store.customers == {}


@pytest.mark.parametrize("name", ["", "Europe/Atlantis", "../etc/passwd", "/etc/passwd", "Europe", "nul\0"])
async def test_what_is_no_time_zone_is_refused_by_its_name(store: CustomersStore, name: str) -> None:
    with pytest.raises(InvalidTimeZone) as refusal:
        await put(store, naming(time_zone=name))
    assert refusal.value.facts() == {"time_zone": name}
    assert store.customers == {}


async def test_a_phone_region_that_is_not_known_is_refused_and_nothing_is_stored(store: CustomersStore) -> None:
    with pytest.raises(InvalidPhoneRegion) as refusal:
        await put(store, naming(phone_region="UK"))
    assert (refusal.value.suggestion, store.customers) == ("GB", {})


# At the same time.


async def test_of_two_who_create_a_customer_at_once_one_is_run_again(store: CustomersStore) -> None:
    class OvertakenUnitOfWork(FakeCustomersUnitOfWork):
        async def commit(self) -> None:
            store.customers["acme"] = replace(ACME, phone_region="US")
            await super().commit()

    with pytest.raises(ConcurrentUpdate):
        await PutCustomer(lambda: OvertakenUnitOfWork(store), lambda: NOW, FakePhoneRegions(), uuid4).execute(COMMAND)
    assert store.customers["acme"].phone_region == "US"


async def test_of_two_who_put_a_customer_at_once_the_second_waits_for_the_first(store: CustomersStore) -> None:
    class SlowUnitOfWork(FakeCustomersUnitOfWork):
        async def commit(self) -> None:
            await asyncio.sleep(0)  # lets the others run between a decision and its commit
            await super().commit()

    await put(store)
    use_case = PutCustomer(lambda: SlowUnitOfWork(store), lambda: NOW, FakePhoneRegions(), uuid4)
    outcomes = await asyncio.gather(*(use_case.execute(naming(phone_region=region)) for region in ("US", "DE")))
    assert [is_new for _, is_new in outcomes] == [False, False]
    assert store.customers["acme"].phone_region == "DE"
