"""Customers, listed and searched: on the plan that is in force now, and by how near they are to a limit."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.service import Service, new_id, refused

CUSTOMERS = "/api/v1/customers"


@pytest.fixture
def prefix() -> str:
    return new_id("list")


def put(service: Service, id: str, **fields: Any) -> dict[str, Any]:
    answer = service.admin.put(f"{CUSTOMERS}/{id}", json={"plan": "pro", **fields})
    assert answer.status_code in (200, 201), answer.text
    told: dict[str, Any] = answer.json()
    return told


def pages(service: Service, **asked: Any) -> Iterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        answer = service.admin.get(CUSTOMERS, params={**asked, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        yield answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return


def ids(service: Service, **asked: Any) -> list[str]:
    return [item["customer_id"] for found in pages(service, **asked) for item in found]


def test_a_list_is_paged_newest_first_and_shows_what_each_customer_is(service: Service, prefix: str) -> None:
    made = [put(service, f"{prefix}%2F{n}", email=f"{n}@example.com", locale="de") for n in range(7)]
    found = list(pages(service, query=prefix, limit=3))
    assert [len(items) for items in found] == [3, 3, 1]
    assert [item for items in found for item in items] == made[::-1]
    assert all(item == service.admin.get(f"{CUSTOMERS}/{item['customer_id'].replace('/', '%2F')}").json() for item in found[0])


def test_what_is_searched_for_is_in_the_id_or_the_email_and_stands_for_itself(service: Service, prefix: str) -> None:
    for id, email in (("Alpha", None), ("beta_x", "ALPHA@example.com"), ("betaxx", None), ("100%", None), (r"back\slash", None)):
        put(service, f"{prefix}-{id}", email=email)
    assert ids(service, query=f"{prefix}-ALPHA") == [f"{prefix}-Alpha"]
    assert set(ids(service, query="alpha")) >= {f"{prefix}-Alpha", f"{prefix}-beta_x"}
    assert ids(service, query=f"{prefix}-beta_") == [f"{prefix}-beta_x"]
    assert ids(service, query=f"{prefix}-100%") == [f"{prefix}-100%"]
    assert ids(service, query=f"{prefix}-back\\") == [rf"{prefix}-back\slash"]


def test_a_plan_is_the_one_in_force_now_once_a_scheduled_change_is_due(service: Service, prefix: str) -> None:
    for name in ("stays", "leaves", "will-leave"):
        put(service, f"{prefix}-{name}")
    soon = datetime.fromtimestamp(time.time() + 1, UTC)
    for name, at in (("leaves", soon), ("will-leave", soon + timedelta(days=1))):
        change = {"plan": "free", "effective_at": at.isoformat()}
        service.admin.patch(f"{CUSTOMERS}/{prefix}-{name}", json=change).raise_for_status()
    time.sleep(1.2)
    assert ids(service, query=prefix, plan="free") == [f"{prefix}-leaves"]
    assert set(ids(service, query=prefix, plan="pro")) == {f"{prefix}-stays", f"{prefix}-will-leave"}
    version = service.admin.get("/api/v1/plans/free").json()["version"]
    assert ids(service, query=prefix, plan="free", plan_version=version) == [f"{prefix}-leaves"]
    assert ids(service, query=prefix, plan="free", plan_version=version + 1) == []


def test_who_is_near_a_limit_is_found_wherever_the_limit_comes_from(service: Service, prefix: str) -> None:
    used = {"calm": 79, "exact": 80, "over": 130, "topped-up": 80, "raised": 80, "none": 0}
    for name, quantity in used.items():
        id = f"{prefix}-{name}"
        put(service, id)
        if quantity:
            body = {"usage": [{"feature": "sessions", "quantity": quantity}], "mode": "record"}
            service.admin.post(f"{CUSTOMERS}/{id}/usage", json=body).raise_for_status()
    grant = {"feature": "sessions", "quantity": 50, "kind": "paid"}
    service.admin.post(f"{CUSTOMERS}/{prefix}-topped-up/grants", json=grant).raise_for_status()
    service.admin.put(f"{CUSTOMERS}/{prefix}-raised/overrides/sessions", json={"limit": 1_000}).raise_for_status()
    assert ids(service, query=prefix, near_percent=80, limit=1) == [f"{prefix}-over", f"{prefix}-exact"]
    assert ids(service, query=prefix, near_percent=101) == [f"{prefix}-over"]


def test_where_many_are_looked_at_a_page_may_be_short_and_the_next_one_goes_on(service: Service, prefix: str) -> None:
    put(service, f"{prefix}-first")
    body = {"usage": [{"feature": "sessions", "quantity": 100}], "mode": "record"}
    service.admin.post(f"{CUSTOMERS}/{prefix}-first/usage", json=body).raise_for_status()
    service.database.rows(
        """
        INSERT INTO customer (customer_id, plan_key, plan_version, billing_interval, time_zone, created_at, updated_at)
        SELECT $1 || '-n' || n, plan_key, plan_version, billing_interval, time_zone, now(), now()
        FROM customer, generate_series(1, 2300) AS n WHERE customer_id = $1 || '-first'
        """,
        prefix,
    )
    found = list(pages(service, query=prefix, near_percent=80))
    assert [len(items) for items in found] == [0, 1]


@pytest.mark.parametrize(
    "asked",
    [
        {"near_percent": 0},
        {"near_percent": "80.0"},
        {"plan_version": 0},
        {"plan_version": 2**31},
        {"query": ""},
        {"cursor": "x"},
        {"more": 1},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(service: Service, asked: dict[str, Any]) -> None:
    assert service.admin.get(CUSTOMERS, params=asked).status_code == 422


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "nobody"},
        {"email": "a@b"},
        {"email": "a@b.at, c@d.at"},
        {"email": "A <a@b.at>"},
        {"email": "a@b.at\r\nBcc: c@d.at"},
        {"email": "a b@c.at"},
        {"email": ""},
        {"email": f"{'a' * 250}@b.at"},
        {"locale": "a language"},
        {"locale": "d"},
        {"locale": "de\n"},
        {"locale": ""},
    ],
)
def test_an_address_or_language_that_is_none_is_refused(service: Service, prefix: str, fields: dict[str, str]) -> None:
    answer = service.admin.put(f"{CUSTOMERS}/{prefix}", json={"plan": "pro", **fields})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"] == ["body", *fields]
    refused(service.admin.get(f"{CUSTOMERS}/{prefix}"), 404, "customer_not_found")


def test_address_and_language_stay_until_they_are_cleared(service: Service, prefix: str) -> None:
    assert put(service, prefix)["email"] is None
    put(service, prefix, email="team@example.com", locale="en-GB")
    kept = put(service, prefix, time_zone="Europe/Vienna")
    assert (kept["email"], kept["locale"]) == ("team@example.com", "en-GB")
    cleared = service.admin.patch(f"{CUSTOMERS}/{prefix}", json={"email": None, "locale": None}).json()
    assert (cleared["email"], cleared["locale"]) == (None, None)
