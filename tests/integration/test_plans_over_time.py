"""Scheduled changes, overrides, add-ons, and the account as of any instant: over HTTP, and with a clock that the test sets."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.service import JWT_SECRET, Service, new_id, refused, tollgate

NOW = datetime.now(UTC)  # noqa: TID251
AGO = (NOW - timedelta(days=3)).isoformat()


@pytest.fixture
def plans(service: Service) -> dict[str, str]:
    """Keys of plans of the test's own."""
    keys = {name: f"{name}-{uuid4().hex[:8]}" for name in ("big", "small", "pack")}
    for name, limit in (("big", 100), ("small", 10), ("pack", 5)):
        entitlements = {"sessions": {"type": "metered", "limit": limit}, "max_file_size_mb": {"type": "static", "value": limit}}
        body = {"name": name, "entitlements": entitlements}
        assert service.admin.put(f"/api/v1/plans/{keys[name]}", json=body).status_code == 201
    return keys


@pytest.fixture
def customer(service: Service, plans: dict[str, str]) -> str:
    """The path of a customer on the big plan."""
    path = f"/api/v1/customers/{new_id()}"
    assert service.admin.put(path, json={"plan": plans["big"]}).status_code == 201
    return path


def use(service: Service, path: str, quantity: int, **more: object) -> httpx.Response:
    return service.admin.post(f"{path}/usage", json={"usage": [{"feature": "sessions", "quantity": quantity}], **more})


def limit(service: Service, path: str, **params: str) -> Any:
    return service.admin.get(f"{path}/usage", params=params).json()["features"]["sessions"]["limit"]


def test_a_change_is_scheduled_shown_and_called_off(service: Service, customer: str, plans: dict[str, str]) -> None:
    at = (NOW + timedelta(days=40)).isoformat()
    scheduled = service.admin.patch(customer, json={"plan": plans["small"], "effective_at": at})
    assert scheduled.status_code == 200
    told = scheduled.json()
    assert (told["plan"], told["scheduled"]["plan"]) == (plans["big"], plans["small"])
    assert datetime.fromisoformat(told["scheduled"]["effective_at"]) == datetime.fromisoformat(at)
    assert service.admin.get(customer).json() == told
    assert (limit(service, customer), limit(service, customer, at=at)) == (100, 10)
    period = service.admin.patch(customer, json={"plan": plans["small"], "effective_at": "period_end"}).json()
    assert period["scheduled"]["effective_at"] == period["period"]["end"]
    for _ in range(2):
        assert service.admin.delete(f"{customer}/scheduled-change").status_code == 204
    assert service.admin.get(customer).json()["scheduled"] is None
    assert limit(service, customer, at=at) == 100


def test_a_change_takes_effect_by_the_clock(service: Service, customer: str, plans: dict[str, str]) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1.5)  # noqa: TID251
    assert service.admin.patch(customer, json={"plan": plans["small"], "effective_at": at.isoformat()}).status_code == 200
    assert use(service, customer, 9).status_code == 200
    time.sleep(max((at - datetime.now(UTC)).total_seconds(), 0) + 0.05)  # noqa: TID251
    refused(use(service, customer, 2), 403, "session_limit_exceeded")
    told = service.admin.get(customer).json()
    assert (told["plan"], told["scheduled"]) == (plans["small"], None)
    assert use(service, customer, 1).json()["balances"]["sessions"]["limit"] == 10
    history = service.admin.get(f"{customer}/plan-history").json()["items"]
    assert [item["plan"] for item in history] == [plans["small"], plans["big"]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"effective_at": "period_end"}, 422),
        ({"plan": "free", "effective_at": "period_end", "time_zone": "UTC"}, 422),
        ({"plan": "free", "effective_at": "soon"}, 422),
        ({"plan": "free", "effective_at": 5}, 422),
        ({"plan": "free", "effective_at": "2020-01-01T00:00:00Z"}, 422),
        ({"plan": "nosuch", "effective_at": "period_end"}, 404),
        ({"billing_interval_count": 0}, 422),
        ({"billing_interval_count": 37}, 422),
        ({"week_starts_on": "funday"}, 422),
    ],
)
def test_what_cannot_be_scheduled_or_set_is_refused(service: Service, customer: str, body: dict[str, object], status: int) -> None:
    before = service.admin.get(customer).json()
    assert service.admin.patch(customer, json=body).status_code == status
    assert service.admin.get(customer).json() == before


def test_an_instant_that_is_none_is_told_with_what_is_expected(service: Service, customer: str) -> None:
    answer = service.admin.patch(customer, json={"plan": "free", "effective_at": "tomorrow"}).json()
    assert "'period_end' is expected, or a time in RFC 3339" in answer["detail"][0]["msg"]


def test_an_open_period_has_no_end(service: Service, customer: str) -> None:
    service.admin.patch(customer, json={"billing_anchor": None})
    refused(service.admin.patch(customer, json={"plan": "free", "effective_at": "period_end"}), 422, "invalid_effective_at")


def test_a_quarter_is_three_months_and_a_week_begins_when_the_customer_says(service: Service, customer: str) -> None:
    body = {"billing_anchor": "2026-01-31T00:00:00Z", "billing_interval_count": 3, "week_starts_on": "sunday"}
    period = service.admin.patch(customer, json=body).json()["period"]
    start, end = (datetime.fromisoformat(period[bound]) for bound in ("start", "end"))
    assert (end.year * 12 + end.month) - (start.year * 12 + start.month) == 3
    cleared = service.admin.patch(customer, json={"billing_interval_count": None, "week_starts_on": None, "time_zone": None}).json()
    assert (cleared["billing_interval_count"], cleared["week_starts_on"], cleared["time_zone"]) == (1, "monday", "UTC")


def test_an_override_stands_in_place_of_the_plan_and_goes(service: Service, customer: str, plans: dict[str, str]) -> None:
    path = f"{customer}/overrides/sessions"
    body = {"limit": 2, "reason": "trial"}
    assert service.admin.put(path, json=body).json() == {**body, "feature": "sessions", "enforcement": None, "until": None}
    assert use(service, customer, 2).status_code == 200
    refused(use(service, customer, 1), 403, "session_limit_exceeded")
    service.admin.put(path, json={"limit": 2, "enforcement": "soft"})
    assert use(service, customer, 1).json()["over_limit"] is True
    service.admin.put(path, json={"limit": None})
    assert limit(service, customer) is None
    service.admin.patch(customer, json={"plan": plans["small"]})
    assert limit(service, customer) is None
    for _ in range(2):
        assert service.admin.delete(path).status_code == 204
    assert limit(service, customer) == 10
    refused(service.admin.put(f"{customer}/overrides/nosuch", json={"limit": 1}), 403, "feature_not_in_plan")
    refused(service.admin.put(path, json={"limit": -1}), 422, "invalid_quantity")
    refused(service.admin.put(path, json={"limit": 1, "until": "2020-01-01T00:00:00Z"}), 422, "invalid_until")


def test_an_addon_counts_on_top(service: Service, customer: str, plans: dict[str, str]) -> None:
    path = f"{customer}/addons/{plans['pack']}"
    assert service.admin.put(path, json={"quantity": 2}).json() == {"plan": plans["pack"], "plan_version": 1, "quantity": 2}
    status = service.admin.get(f"{customer}/usage").json()["features"]
    assert (status["sessions"]["limit"], status["max_file_size_mb"]["value"]) == (110, 110)
    assert service.admin.get(customer).json()["addons"] == {plans["pack"]: 2}
    for _ in range(2):
        assert service.admin.delete(path).status_code == 204
    assert limit(service, customer) == 100
    refused(service.admin.put(f"{customer}/addons/nosuch", json={"quantity": 1}), 404, "plan_not_found")
    for quantity in (0, -1, 1.5, 10**9):
        assert service.admin.put(path, json={"quantity": quantity}).status_code == 422


def test_the_history_says_what_was_in_force_when_and_who_put_it_so(service: Service, customer: str, plans: dict[str, str]) -> None:
    service.admin.patch(customer, json={"plan": plans["small"], "time_zone": "Europe/Vienna"})
    service.admin.put(f"{customer}/overrides/sessions", json={"limit": 3, "reason": "pilot"})
    service.admin.put(f"{customer}/addons/{plans['pack']}", json={"quantity": 1})
    service.admin.patch(customer, json={"phone_region": "AT"})
    items = service.admin.get(f"{customer}/plan-history").json()["items"]
    assert [item["plan"] for item in items] == [plans["small"]] * 3 + [plans["big"]]
    assert [item["time_zone"] for item in items] == ["Europe/Vienna"] * 3 + ["UTC"]
    assert [[override["limit"] for override in item["overrides"]] for item in items] == [[3], [3], [], []]
    assert [[addon["quantity"] for addon in item["addons"]] for item in items] == [[1], [], [], []]
    assert items[1]["reason"] == "pilot"
    assert all(item["changed_by"] for item in items)
    instants = [item["effective_at"] for item in items]
    assert instants == sorted(instants, reverse=True)
    first = service.admin.get(f"{customer}/plan-history", params={"limit": 3}).json()
    rest = service.admin.get(f"{customer}/plan-history", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert (first["items"] + rest["items"], rest["next_cursor"]) == (items, None)
    refused(service.admin.get("/api/v1/customers/nobody/plan-history"), 404, "customer_not_found")


def test_usage_as_of_an_instant_counts_what_had_occurred_and_was_known(service: Service, plans: dict[str, str]) -> None:
    path = f"/api/v1/customers/{new_id()}"
    service.admin.put(path, json={"plan": plans["big"], "billing_anchor": (NOW - timedelta(days=20)).isoformat()})
    before = datetime.now(UTC)  # noqa: TID251
    use(service, path, 5)
    between = datetime.now(UTC)  # noqa: TID251
    use(service, path, 7, mode="record", occurred_at=before.isoformat())
    after = datetime.now(UTC)  # noqa: TID251

    def used(**params: datetime) -> Any:
        found = service.admin.get(f"{path}/usage", params={name: at.isoformat() for name, at in params.items()})
        return found.json()["features"]["sessions"]["used"]

    assert used(at=before) == 7
    assert used(at=before - timedelta(microseconds=1)) == 0
    assert used(at=between) == used(at=after) == 12
    assert used(at=between, known_at=between) == 5
    assert used(at=between, known_at=after) == 12
    assert used(at=after + timedelta(days=60)) == 0


def test_what_was_not_yet_a_customer_has_no_standing(service: Service, customer: str) -> None:
    refused(service.admin.get(f"{customer}/usage", params={"at": AGO}), 422, "not_yet_a_customer")
    refused(service.admin.get(f"{customer}/usage", params={"at": NOW.isoformat(), "known_at": AGO}), 422, "not_yet_a_customer")
    for params in ({"known_at": AGO}, {"at": AGO, "breakdown": "true"}, {"at": "yesterday"}):
        assert service.admin.get(f"{customer}/usage", params=params).status_code == 422


def moved(service: Service, *arguments: str, status: int = 0) -> str:
    """What `tollgate plans move` says."""
    command = ("plans", "move", *arguments, "--data-dir", service.data_dir)
    done = tollgate(*command, database_url=service.database.url, jwt_secret=JWT_SECRET)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_customers_move_to_the_newest_version_now_or_at_their_periods_end(service: Service, plans: dict[str, str]) -> None:
    names = {name: new_id() for name in ("over", "within", "open", "leaving")}
    for name, id in names.items():
        anchor = {"billing_anchor": None} if name == "open" else {}
        service.admin.put(f"/api/v1/customers/{id}", json={"plan": plans["big"], **anchor})
    use(service, f"/api/v1/customers/{names['over']}", 50)
    leaving = f"/api/v1/customers/{names['leaving']}"
    service.admin.patch(leaving, json={"plan": plans["small"], "effective_at": "period_end"})
    smaller = {"name": "big", "entitlements": {"sessions": {"type": "metered", "limit": 20}}}
    assert service.admin.put(f"/api/v1/plans/{plans['big']}", json=smaller).json()["version"] == 2

    def versions() -> dict[str, int]:
        return {name: service.admin.get(f"/api/v1/customers/{id}").json()["plan_version"] for name, id in names.items()}

    dry = moved(service, plans["big"], "--dry-run")
    assert f"{names['over']}: uses more than the new limit of sessions" in dry
    assert "4 of 4 customers" in dry
    assert set(versions().values()) == {1}
    later = moved(service, plans["big"], "--at-period-end", status=1)
    assert f"{names['open']}: not moved. The customer's billing period never ends" in later
    assert f"{names['leaving']}: not moved. A change to '{plans['small']}' is scheduled" in later
    assert service.admin.get(f"/api/v1/customers/{names['within']}").json()["scheduled"]["plan_version"] == 2
    assert service.admin.get(leaving).json()["scheduled"]["plan"] == plans["small"]
    again = moved(service, plans["big"], "--at-period-end", status=1)
    assert "0 of 2 customers" in again, "who is scheduled already is left out"
    now = moved(service, plans["big"])
    assert "4 of 4 customers" in now
    assert set(versions().values()) == {2}
    assert service.admin.get(leaving).json()["scheduled"]["plan"] == plans["small"]
    history = service.admin.get(f"/api/v1/customers/{names['within']}/plan-history").json()["items"]
    assert "tollgate plans move" in {item["changed_by"] for item in history}
    assert "No plan 'nosuch'" in moved(service, "nosuch", status=1)
