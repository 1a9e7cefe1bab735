"""What callers send of customers: a part of what is known, and regions by the names that people have for them."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.integration.coaching import Customer, days_ago
from tests.integration.service import Service, new_id, refused

ANCHORED = {
    "plan": "free",
    "billing_anchor": "2026-10-31T00:00:00Z",
    "billing_interval": "week",
    "time_zone": "Asia/Tokyo",
    "phone_region": "JP",
}


def put(service: Service, id: str, **body: object) -> httpx.Response:
    return service.admin.put(f"/api/v1/customers/{id}", json=body)


def stored(service: Service, id: str) -> dict[str, Any]:
    told: dict[str, Any] = service.admin.get(f"/api/v1/customers/{id}").json()
    return told


# A key that is absent keeps what is stored, and null clears it.


def test_a_put_that_names_a_plan_keeps_the_anchor_and_everything_else(service: Service) -> None:
    id = new_id()
    before = put(service, id, **ANCHORED).json()
    after = put(service, id, plan="pro")
    assert after.status_code == 200
    assert after.json() == before | {"plan": "pro"}
    assert stored(service, id) == after.json()


@pytest.mark.parametrize(
    "change",
    [{"billing_anchor": "2026-11-01T00:00:00Z"}, {"billing_interval": "year"}, {"time_zone": "UTC"}, {"phone_region": "US"}],
    ids=str,
)
def test_a_put_changes_what_it_names_and_nothing_else(service: Service, change: dict[str, object]) -> None:
    id = new_id()
    before = put(service, id, **ANCHORED).json()
    after = put(service, id, plan="free", **change).json()
    assert {**after, "period": None} == {**before, **change, "period": None}


@pytest.mark.parametrize("name", ["billing_anchor", "phone_region"])
def test_null_clears_what_may_be_absent(service: Service, name: str) -> None:
    for send in (service.admin.put, service.admin.patch):
        id = new_id()
        put(service, id, **ANCHORED)
        answer = send(f"/api/v1/customers/{id}", json={"plan": "free", name: None})
        assert answer.status_code == 200
        assert answer.json()[name] is None
        assert stored(service, id)[name] is None


def test_null_puts_the_default_in_the_place_of_what_every_customer_has(service: Service) -> None:
    defaults = {"billing_interval": "month", "billing_interval_count": 1, "time_zone": "UTC", "week_starts_on": "monday"}
    for send in (service.admin.put, service.admin.patch):
        for name, default in defaults.items():
            id = new_id()
            put(service, id, **ANCHORED, billing_interval_count=2, week_starts_on="sunday")
            assert send(f"/api/v1/customers/{id}", json={"plan": "free", name: None}).status_code == 200
            assert stored(service, id)[name] == default
            assert {stored(service, id)[other] == default for other, default in defaults.items() if other != name} == {False}


def test_a_customer_has_a_plan(service: Service) -> None:
    id = new_id()
    before = put(service, id, **ANCHORED).json()
    for send in (service.admin.put, service.admin.patch):
        assert send(f"/api/v1/customers/{id}", json={"plan": None}).status_code == 422
    assert stored(service, id) == before


def test_usage_before_the_period_stays_out_of_it_when_a_plan_is_put(service: Service) -> None:
    customer = Customer.new(service, "free")
    customer.has_used("sessions", 10, days_ago(4))
    assert put(service, customer.id, plan="free").status_code == 200
    customer.created()


# A new customer's billing periods begin with it, unless it is said that there are none.


def test_a_new_customer_is_anchored_at_its_creation(service: Service) -> None:
    id, before = new_id(), days_ago(0)
    told = put(service, id, plan="free")
    assert told.status_code == 201
    anchor = datetime.fromisoformat(told.json()["billing_anchor"])
    assert before - timedelta(minutes=1) < anchor < days_ago(0) + timedelta(minutes=1)
    period = told.json()["period"]
    assert period["start"] == told.json()["billing_anchor"]
    assert timedelta(days=28) <= datetime.fromisoformat(period["end"]) - anchor <= timedelta(days=31)
    assert service.admin.get(f"/api/v1/customers/{id}/usage").json()["features"]["sessions"]["resets_at"] == period["end"]
    assert put(service, id, plan="pro").json()["billing_anchor"] == told.json()["billing_anchor"]


def test_only_an_explicit_null_gives_a_new_customer_the_open_period(service: Service) -> None:
    told = put(service, new_id(), plan="free", billing_anchor=None)
    assert (told.status_code, told.json()["billing_anchor"], told.json()["period"]) == (201, None, {"start": None, "end": None})


def test_a_new_customer_without_an_anchor_starts_anew_every_period(service: Service) -> None:
    customer = Customer(new_id(), service)
    put(service, customer.id, plan="free", billing_interval="day")
    customer.has_used("sessions", 10, days_ago(1.5))
    customer.created()


def test_a_patch_creates_nobody(service: Service) -> None:
    id = new_id()
    refused(service.admin.patch(f"/api/v1/customers/{id}", json=ANCHORED), 404, "customer_not_found")
    refused(service.admin.get(f"/api/v1/customers/{id}"), 404, "customer_not_found")


# Regions, by the names that people have for them.


@pytest.mark.parametrize(
    ("written", "meant"), [("UK", "GB"), ("EN", "GB"), ("us", "US"), (" US", "US"), ("USA", "US"), ("JA", "JP"), ("DEU", "DE")]
)
def test_a_region_that_does_not_exist_is_refused_with_the_one_that_was_meant(service: Service, written: str, meant: str) -> None:
    id = new_id()
    detail = refused(put(service, id, plan="free", phone_region=written), 422, "invalid_phone_region")
    assert (detail["phone_region"], detail["suggestion"]) == (written, meant)
    assert repr(meant) in detail["message"]
    refused(service.admin.get(f"/api/v1/customers/{id}"), 404, "customer_not_found")
    put(service, id, plan="free", phone_region=meant)
    refused(service.admin.patch(f"/api/v1/customers/{id}", json={"phone_region": written}), 422, "invalid_phone_region")
    assert stored(service, id)["phone_region"] == meant


@pytest.mark.parametrize("written", ["ZZ", "001", "XXL", "+44", "Atlantis"])
def test_a_region_that_is_like_no_other_is_refused_without_a_suggestion(service: Service, written: str) -> None:
    detail = refused(put(service, new_id(), plan="free", phone_region=written), 422, "invalid_phone_region")
    assert detail["suggestion"] is None
