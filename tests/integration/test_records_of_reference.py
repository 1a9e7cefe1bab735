"""What was booked for one order or one session: found by its reference, however long the ledger is, and given back where it failed."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from core.metering.ledger import LedgerQuery
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.driver.statements import HotStatement, driver_of
from infrastructure.sql.engine.ledger import BOOKED_FOR
from infrastructure.sql.engine.ledger_reader import NEWEST_OF_REFERENCE
from tests.integration.coaching import Customer, days_ago
from tests.integration.in_process import NOW, Engine, engine_on, record
from tests.integration.service import ADMIN_KEY, Service
from tests.unit.fakes.calls import calls


@pytest.fixture
def customer(service: Service) -> Customer:
    return Customer.new(service)


def book(customer: Customer, reference: str | None, *features: str, days: float = 0) -> list[str]:
    """The records' ids."""
    body = {"usage": [{"feature": feature, "quantity": 1} for feature in features], "mode": "record", "reference": reference}
    body |= {"occurred_at": days_ago(days).isoformat()} if days else {}
    response = customer.service.admin.post(f"/api/v1/customers/{customer.id}/usage", json=body)
    assert response.status_code == 200, response.text
    return [record["id"] for record in response.json()["records"]]


def listed(customer: Customer, **query: Any) -> list[dict[str, Any]]:
    response = customer.service.admin.get(f"/api/v1/customers/{customer.id}/usage/records", params=query)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def test_a_reference_finds_what_was_booked_for_it_and_its_corrections_and_nothing_else(customer: Customer) -> None:
    old, (new, minutes) = book(customer, "order-1", "sessions", days=5), book(customer, "order-1", "sessions", "minutes")
    book(customer, "order-10", "sessions")
    book(customer, None, "sessions")
    book(Customer.new(customer.service), "order-1", "sessions")
    response = customer.service.admin.post(
        f"/api/v1/customers/{customer.id}/usage/records/{old[0]}/corrections", json={"quantity": -1, "reason": "refund"}
    )
    correction = response.json()["id"]
    assert [item["id"] for item in listed(customer, reference="order-1")] == [minutes, new, correction, old[0]]
    assert listed(customer, reference="order-2") == []


def test_a_reference_goes_together_with_every_other_filter_and_with_pages(customer: Customer) -> None:
    ids = [id for days in (3, 2, 1) for id in book(customer, "order/1 ä", "sessions", "minutes", days=days)]
    assert [item["id"] for item in listed(customer, reference="order/1 ä", feature="minutes")] == [ids[5], ids[3], ids[1]]
    between = {"since": days_ago(2.5).isoformat(), "until": days_ago(1.5).isoformat()}
    assert [item["id"] for item in listed(customer, reference="order/1 ä", **between)] == [ids[3], ids[2]]
    assert listed(customer, reference="order/1 ä", dimension="eu") == []
    found: list[str] = []
    cursor = None
    while cursor is not None or not found:
        query = {"reference": "order/1 ä", "limit": 4} | ({"cursor": cursor} if cursor else {})
        page = customer.service.admin.get(f"/api/v1/customers/{customer.id}/usage/records", params=query).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == ids[::-1]


def test_a_customer_that_does_not_exist_has_no_references(service: Service) -> None:
    assert service.admin.get("/api/v1/customers/nobody/usage/records", params={"reference": "order-1"}).status_code == 404


# Sessions that failed.


def fail(customer: Customer, id: str, **body: object) -> Any:
    key = customer.service.key(ADMIN_KEY, customer.id)
    return key.post(f"/api/v1/sessions/{id}/fail", json={"reason": "the file was empty"} | body)


def test_a_failed_session_is_given_back_by_a_correction_with_the_reason_and_only_once(customer: Customer) -> None:
    id = customer.created()
    customer.created()
    for _ in range(2):
        response = fail(customer, id, give_back=True)
        assert (response.status_code, response.json()["status"]) == (200, "failed")
    correction, booked = listed(customer, reference=id)
    assert (correction["corrects"], correction["quantity"], correction["reason"]) == (booked["id"], -1, "the file was empty")
    assert (correction["source"], correction["occurred_at"]) == ("correction", booked["occurred_at"])
    assert (customer.used("sessions"), customer.used("minutes")) == (1, 0)


def test_a_failed_session_that_is_not_to_be_given_back_stays_counted(customer: Customer) -> None:
    for body in ({}, {"give_back": False}):
        assert fail(customer, customer.created(), **body).status_code == 200
    assert customer.used("sessions") == 2


def test_giving_back_is_said_by_true_and_nothing_that_resembles_it(customer: Customer) -> None:
    id = customer.created()
    for resembling in ("true", 1, None):
        assert fail(customer, id, give_back=resembling).status_code == 422
    assert customer.used("sessions") == 1


# However long the ledger is.


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_reference_is_looked_up_in_its_index_though_the_table_has_no_statistics_yet(database_url: str, mode: str) -> None:
    listing = {"customer_id": "x", "reference": "x", "feature": None, "dimension": None, "limit": 50, "since": NOW, "until": NOW}
    listing |= {"before_at": NOW, "before_id": "ffffffff-ffff-ffff-ffff-ffffffffffff"}
    lookup = {name: ["x"] for name in ("customer_ids", "features", "sources", "references")}
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        driver = await driver_of(connection)
        await driver.execute(f"SET plan_cache_mode = {mode}")
        for statement, values in ((NEWEST_OF_REFERENCE, listing), (BOOKED_FOR, lookup)):
            plan = await HotStatement(f"EXPLAIN {statement}").fetch(driver, values)
            assert "using ix_usage_record_reference" in str(plan), plan
    await engine.dispose()


async def test_a_page_of_a_reference_is_in_the_order_of_the_ledger_though_many_occurred_at_one_instant(engine: Engine) -> None:
    acme = await engine.customer(calls=None)
    days = [NOW - timedelta(days=number % 3) for number in range(12)]
    await engine.container.consume_usage().execute(calls(*(record(acme, "calls", occurred_at=day) for day in days)))
    everything = await engine.container.ledger_reader().newest(LedgerQuery(acme, 100))
    read, before = [], None
    while page := await engine.container.ledger_reader().newest(LedgerQuery(acme, 5, reference="order 7", before=before)):
        read += page
        before = (page[-1].occurred_at, page[-1].id)
    assert read == list(everything)
