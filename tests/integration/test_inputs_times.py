"""Times are strings in RFC 3339 with an offset, everywhere, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from tests.integration.coaching import days_ago
from tests.integration.restaurants import Restaurant
from tests.integration.service import ADMIN_KEY, Service, new_id

JSON = {"Content-Type": "application/json"}

NO_TIMES = [
    "20261101",
    "2026-11-01",
    "2026-11-01T00:00:00",
    "2026-11-01T00:00Z",
    "2026-11-01 00:00:00Z",
    "2026-11-01_00:00:00Z",
    "2026-11-01T00:00:00+0100",
    "2026-11-01T00:00:00+01",
    "2026-11-01T00:00:00+24:00",
    "2026-11-01T00:00:00,5Z",
    "2026-11-01T00:00:00.Z",
    "2026-11-01T24:00:00Z",
    "2026-11-01T23:60:00Z",
    "2026-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "2016-12-31T23:59:60Z",
    "12026-11-01T00:00:00Z",
    "-2026-11-01T00:00:00Z",
    " 2026-11-01T00:00:00Z",
    "2026-11-01T00:00:00Z ",
    "\u0662026-11-01T00:00:00Z",
    "2026-W45-1T00:00:00Z",
    "1760000000",
    "now",
    "",
    1_760_000_000,
    1e9,
    True,
    {},
]

Put = Callable[[Restaurant, Any], httpx.Response]


def anchored(restaurant: Restaurant, at: Any) -> httpx.Response:
    return restaurant.service.admin.put(f"/api/v1/customers/{new_id()}", json={"plan": restaurant.id, "billing_anchor": at})


def moved(restaurant: Restaurant, at: Any) -> httpx.Response:
    return restaurant.service.admin.patch(f"/api/v1/customers/{restaurant.id}", json={"billing_anchor": at})


def recorded(restaurant: Restaurant, at: Any) -> httpx.Response:
    body = {"usage": [{"feature": "conversations", "quantity": 1}], "mode": "record", "occurred_at": at}
    return restaurant.service.admin.post(f"/api/v1/customers/{restaurant.id}/usage", json=body)


def messaged(restaurant: Restaurant, at: Any) -> httpx.Response:
    body = {"direction": "inbound", "counterparty": "+14155552671", "message_id": new_id("m"), "sent_at": at}
    return restaurant.service.key(ADMIN_KEY, restaurant.id).post("/api/v1/messages", json=body)


def event(restaurant: Restaurant, at: Any) -> httpx.Response:
    body = {"specversion": "1.0", "id": new_id("e"), "source": "m", "type": "conversations", "subject": restaurant.id, "time": at}
    headers = {"Content-Type": "application/cloudevents+json"}
    return restaurant.service.admin.post("/api/v1/events", json=body, headers=headers)


TAKES_A_TIME: dict[str, Put] = {
    "an anchor": anchored,
    "a moved anchor": moved,
    "recorded usage": recorded,
    "a message": messaged,
    "an event": event,
}

everywhere = pytest.mark.parametrize("put", TAKES_A_TIME.values(), ids=TAKES_A_TIME)


@pytest.fixture(scope="module")
def restaurant(service: Service) -> Restaurant:
    return Restaurant.new(service, limit=None)


def mistake(response: httpx.Response) -> str:
    """What is said to be wrong; of an event it is said in the list of those that are rejected."""
    if response.status_code == 200:
        (rejected,) = response.json()["rejected"]
        return str(rejected["message"])
    assert response.status_code == 422, response.text
    (found,) = response.json()["detail"]
    return str(found["msg"])


@everywhere
@pytest.mark.parametrize("at", NO_TIMES, ids=repr)
def test_what_is_no_time_is_refused(restaurant: Restaurant, put: Put, at: Any) -> None:
    assert mistake(put(restaurant, at))


@everywhere
def test_what_is_expected_is_shown(restaurant: Restaurant, put: Put) -> None:
    assert "RFC 3339 with an offset, such as '2026-11-01T00:00:00Z'" in mistake(put(restaurant, "2026-11-01"))
    assert "leap seconds are not counted" in mistake(put(restaurant, "2016-12-31T23:59:60Z"))


def written(at: datetime) -> list[str]:
    """One instant in forms of RFC 3339."""
    utc = at.astimezone(UTC).isoformat().removesuffix("+00:00")
    eastern = at.astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat()
    western = at.astimezone(timezone(timedelta(hours=-9, minutes=-30))).isoformat()
    return [f"{utc}Z", f"{utc.replace('T', 't')}z", f"{utc}+00:00", f"{utc}-00:00", eastern, western, f"{utc}9Z", f"{utc}{'9' * 400}Z"]


@everywhere
@pytest.mark.parametrize("form", range(8))
def test_every_form_of_rfc_3339_is_taken(restaurant: Restaurant, put: Put, form: int) -> None:
    at = days_ago(0).replace(microsecond=123_456)
    response = put(restaurant, written(at)[form])
    assert response.is_success, response.text
    assert not response.json().get("rejected"), response.text


@pytest.mark.parametrize("form", range(8))
def test_what_is_finer_than_a_microsecond_is_cut_off(restaurant: Restaurant, form: int) -> None:
    at = datetime(2026, 11, 1, 0, 0, 0, 123_456, UTC)
    assert anchored(restaurant, written(at)[form]).json()["billing_anchor"] == "2026-11-01T00:00:00.123456Z"


def test_a_time_without_a_fraction_is_one(restaurant: Restaurant) -> None:
    assert anchored(restaurant, "2026-11-01T01:00:00+01:00").json()["billing_anchor"] == "2026-11-01T00:00:00Z"
    assert anchored(restaurant, "2026-11-01T00:00:00.5Z").json()["billing_anchor"] == "2026-11-01T00:00:00.500000Z"


@pytest.mark.parametrize("name", ["since", "until"])
def test_a_plus_that_was_not_encoded_is_explained(restaurant: Restaurant, name: str) -> None:
    records = f"/api/v1/customers/{restaurant.id}/usage/records"
    refused = restaurant.service.admin.get(f"{records}?{name}=2026-11-01T00:00:00+01:00")
    assert "%2B" in mistake(refused)
    assert restaurant.service.admin.get(f"{records}?{name}=2026-11-01T00:00:00%2B01:00").status_code == 200
    assert "%2B" not in mistake(restaurant.service.admin.get(f"{records}?{name}=2026-11-01"))
