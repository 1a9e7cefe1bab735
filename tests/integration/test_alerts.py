"""Alerts over HTTP: what is put, what is raised, and that each is one row and one event."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from core.events.catalogue import CATALOGUE
from tests.integration.coaching import at_once
from tests.integration.service import Service, new_id, refused

EXAMPLES = {known.type: known.example for known in CATALOGUE}


def published(service: Service, **entitlement: object) -> str:
    plan = f"alerts-{uuid4().hex[:8]}"
    entitlements = {"minutes": {"type": "metered", "limit": 10, **entitlement}}
    assert service.admin.put(f"/api/v1/plans/{plan}", json={"entitlements": entitlements}).status_code == 201
    return plan


def customer_on(service: Service, plan: str) -> str:
    path = f"/api/v1/customers/{new_id()}"
    assert service.admin.put(path, json={"plan": plan}).status_code == 201
    return path


@pytest.fixture
def customer(service: Service) -> str:
    """The path of a customer with ten minutes in a period."""
    return customer_on(service, published(service))


def use(service: Service, path: str, quantity: float, **more: object) -> httpx.Response:
    return service.admin.post(f"{path}/usage", json={"usage": [{"feature": "minutes", "quantity": quantity}], "mode": "record", **more})


def alerts(service: Service, path: str, **query: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = service.admin.get(f"{path}/alerts", params=query).json()["items"]
    return items


def events(service: Service, path: str) -> list[dict[str, Any]]:
    """What the outbox has of the customer's usage, in order."""
    select = """
        SELECT CAST(id AS text), type, CAST(payload AS text) FROM outbox_event
        WHERE customer_id = $1 AND type LIKE 'usage.%' ORDER BY id
    """
    rows = service.database.rows(select, path.removeprefix("/api/v1/customers/"))
    return [{"id": row["id"], "type": row["type"], "data": json.loads(row["payload"])} for row in rows]


def levels(items: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Of a list, the oldest first."""
    return [(item["threshold"]["type"], item["threshold"]["value"]) for item in reversed(items)]


def test_what_is_raised_is_a_row_and_an_event_which_say_the_same(service: Service, customer: str) -> None:
    assert use(service, customer, 7.99).status_code == 200
    assert alerts(service, customer) == []
    use(service, customer, 0.01)
    (alert,) = alerts(service, customer)
    (event,) = events(service, customer)
    assert alert | {"raised_at": None, "period": None} == {
        "feature": "minutes", "threshold": {"type": "percent", "value": 80}, "used": 8, "limit": 10, "event_id": event["id"],
        "raised_at": None, "period": None,
    }  # fmt: skip
    assert event["type"] == "usage.threshold_reached"
    assert event["data"].keys() == EXAMPLES[event["type"]].keys()
    standing = {name: event["data"][name] for name in ("feature", "unit", "threshold", "used", "limit", "remaining", "percent", "period")}
    assert standing == {
        "feature": "minutes", "unit": "minute", "threshold": alert["threshold"], "used": 8, "limit": 10, "remaining": 2, "percent": 80,
        "period": alert["period"],
    }  # fmt: skip
    use(service, customer, 2.5)
    assert levels(alerts(service, customer, feature="minutes")) == [("percent", 80), ("percent", 95), ("percent", 100)]
    assert [event["type"] for event in events(service, customer)] == [
        "usage.threshold_reached", "usage.threshold_reached", "usage.limit_reached", "usage.overage_recorded",
    ]  # fmt: skip
    assert alerts(service, customer, feature="sessions") == []


def test_alerts_are_paged_newest_first(service: Service, customer: str) -> None:
    use(service, customer, 10)
    first = service.admin.get(f"{customer}/alerts", params={"limit": 2}).json()
    rest = service.admin.get(f"{customer}/alerts", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert levels([*first["items"], *rest["items"]]) == [("percent", 80), ("percent", 95), ("percent", 100)]
    assert rest["next_cursor"] is None
    assert service.admin.get(f"{customer}/alerts", params={"since": "2026-01-01"}).status_code == 422
    refused(service.admin.get(f"/api/v1/customers/{new_id()}/alerts"), 404, "customer_not_found")


def test_a_plans_own_percentages_are_kept_shown_and_part_of_its_version(service: Service) -> None:
    plan = published(service, alerts=[100, 50])
    shown = service.admin.get(f"/api/v1/plans/{plan}").json()
    assert (shown["version"], shown["entitlements"]["minutes"]["alerts"]) == (1, [50, 100])
    path = customer_on(service, plan)
    use(service, path, 5)
    assert levels(alerts(service, path)) == [("percent", 50)]
    entitlements = {"minutes": {"type": "metered", "limit": 10, "alerts": []}}
    assert service.admin.put(f"/api/v1/plans/{plan}", json={"entitlements": entitlements}).json()["version"] == 2
    assert service.admin.get(f"/api/v1/plans/{plan}").json()["entitlements"]["minutes"]["alerts"] == []
    path = customer_on(service, plan)
    use(service, path, 10)
    assert alerts(service, path) == []


@pytest.mark.parametrize("alerts", [[0], [1001], [80.5], ["80"], [80, 80], 80, list(range(1, 23))])
def test_percentages_that_are_none_are_refused(service: Service, alerts: object) -> None:
    entitlements = {"minutes": {"type": "metered", "limit": 10, "alerts": alerts}}
    assert service.admin.put("/api/v1/plans/amiss", json={"entitlements": entitlements}).status_code == 422


def test_a_customers_own_thresholds_are_in_place_of_the_plans_until_they_are_removed(service: Service, customer: str) -> None:
    use(service, customer, 7)
    thresholds = [{"type": "remaining", "value": 3.5}, {"type": "used", "value": 6.25}, {"type": "percent", "value": 90}]
    put = service.admin.put(f"{customer}/alerts/minutes", json={"thresholds": thresholds})
    assert (put.status_code, put.json()) == (200, {"feature": "minutes", "thresholds": [thresholds[2], thresholds[0], thresholds[1]]})
    assert levels(alerts(service, customer)) == [("used", 6.25), ("remaining", 3.5)]
    use(service, customer, 1)
    assert len(alerts(service, customer)) == 2
    for _ in range(2):
        assert service.admin.delete(f"{customer}/alerts/minutes").status_code == 204
    assert levels(alerts(service, customer)) == [("used", 6.25), ("remaining", 3.5), ("percent", 80)]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"thresholds": [{"type": "percent", "value": 0}]}, "invalid_threshold"),
        ({"thresholds": [{"type": "used", "value": 0.001}]}, "invalid_threshold"),
        ({"thresholds": [{"type": "percent", "value": 80}, {"type": "percent", "value": 80.0}]}, "invalid_threshold"),
        ({"thresholds": [{"type": "level", "value": 80}]}, None),
        ({"thresholds": [{"type": "percent"}]}, None),
        ({"thresholds": [{"type": "percent", "value": n} for n in range(1, 22)]}, None),
        ({}, None),
    ],
)
def test_thresholds_that_are_none_are_refused(service: Service, customer: str, body: object, error: str | None) -> None:
    answer = service.admin.put(f"{customer}/alerts/minutes", json=body)
    assert answer.status_code == 422
    if error:
        refused(answer, 422, error)


def test_thresholds_are_of_declared_features_and_existing_customers(service: Service, customer: str) -> None:
    body = {"thresholds": []}
    refused(service.admin.put(f"{customer}/alerts/unheard_of", json=body), 403, "feature_not_in_plan")
    refused(service.admin.put(f"/api/v1/customers/{new_id()}/alerts/minutes", json=body), 404, "customer_not_found")
    refused(service.admin.delete(f"/api/v1/customers/{new_id()}/alerts/minutes"), 404, "customer_not_found")


def test_another_plan_raises_and_tells_in_its_own_transaction(service: Service, customer: str) -> None:
    use(service, customer, 6)
    small = published(service, limit=5)
    assert service.admin.patch(customer, json={"plan": small}).status_code == 200
    assert levels(alerts(service, customer)) == [("percent", 80), ("percent", 95), ("percent", 100)]
    select = "SELECT CAST(payload AS text) FROM outbox_event WHERE customer_id = $1 AND type = 'customer.plan_changed'"
    told = json.loads(service.database.value(select, customer.removeprefix("/api/v1/customers/")))
    assert (told["plan"], told["plan_version"], told["scheduled"]) == (small, 1, False)
    assert told.keys() == EXAMPLES["customer.plan_changed"].keys()


def test_many_who_cross_at_once_raise_one_row_and_one_event_each(services: tuple[Service, Service]) -> None:
    first, second = services
    path = customer_on(first, published(first, limit=20, enforcement="soft"))
    small = published(first, limit=15)
    bookings = [lambda service=service: use(service, path, 1) for service in (first, second) * 10]
    plans = [lambda: first.admin.patch(path, json={"plan": small}), lambda: second.admin.patch(path, json={"plan": small})]
    answers = at_once(*bookings, *plans)
    assert {answer.status_code for answer in answers} == {200}
    found = alerts(first, path)
    assert sorted(levels(found)) == [("percent", 80), ("percent", 95), ("percent", 100)]
    assert len(events(first, path)) == 4
    assert {alert["event_id"] for alert in found} < {event["id"] for event in events(first, path)}


def test_a_counter_that_is_rebuilt_raises_nothing_twice(service: Service, customer: str) -> None:
    use(service, customer, 8)
    id = customer.removeprefix("/api/v1/customers/")
    forgotten = "UPDATE usage_counter SET period_start = NULL, period_end = NULL, raised = NULL WHERE customer_id = $1"
    service.database.rows(forgotten, id)
    use(service, customer, 0.5)
    assert len(alerts(service, customer)) == 1
    moved_by_an_older_release = """UPDATE usage_counter SET raised =
        '{"start": "2020-01-01T00:00:00+00:00", "end": "2020-02-01T00:00:00+00:00", "raised": ["percent:95"]}' WHERE customer_id = $1"""
    service.database.rows(moved_by_an_older_release, id)
    use(service, customer, 1)
    assert levels(alerts(service, customer)) == [("percent", 80), ("percent", 95)]


def test_the_catalogue_describes_every_type_with_an_example(service: Service) -> None:
    items = service.admin.get("/api/v1/events/catalogue").json()["items"]
    assert {item["type"] for item in items} >= {"usage.threshold_reached", "usage.limit_reached", "usage.overage_recorded"}
    for item in items:
        assert item["example"].keys() == {"type", "timestamp", "data"}
        assert item["example"]["type"] == item["type"]
        assert len(item["description"]) > 40
