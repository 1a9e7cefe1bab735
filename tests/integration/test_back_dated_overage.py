"""Over HTTP: what is recorded into the last period is measured against the last period."""

from datetime import datetime
from typing import Any

import pytest

from tests.integration.coaching import Customer, days_ago
from tests.integration.service import Service

LIMIT = 10
"""Sessions on the plan `free`."""


@pytest.fixture
def customer(service: Service) -> Customer:
    """Billed since three days ago, and for months before."""
    return Customer.new(service, "free", billing_anchor=days_ago(3).isoformat())


def record(customer: Customer, quantity: int, at: datetime | None = None, **changes: object) -> dict[str, Any]:
    body = {"usage": [{"feature": "sessions", "quantity": quantity}], "mode": "record"} | changes
    body |= {"occurred_at": at.isoformat()} if at else {}
    response = customer.service.admin.post(f"/api/v1/customers/{customer.id}/usage", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def overages(customer: Customer) -> list[float]:
    """Of the ledger's entries, the oldest first."""
    items = customer.service.admin.get(f"/api/v1/customers/{customer.id}/usage/records").json()["items"]
    return [item["overage"] for item in sorted(items, key=lambda item: item["id"])]


def test_eight_and_then_five_of_ten_in_the_last_period_are_three_over_its_limit(customer: Customer) -> None:
    record(customer, 4)
    first, second = record(customer, 8, days_ago(5)), record(customer, 5, days_ago(4))
    assert (first["over_limit"], second["over_limit"]) == (False, True)
    assert overages(customer) == [0, 0, 3]
    balance = second["balances"]["sessions"]
    assert (balance["used"], balance["remaining"]) == (4, 6), "that is of the current period"


def test_the_current_periods_usage_is_no_overage_of_the_last_one_and_the_other_way_round(customer: Customer) -> None:
    record(customer, LIMIT)
    assert record(customer, LIMIT, days_ago(5))["over_limit"] is False
    assert record(customer, 1)["over_limit"] is True


def test_a_correction_takes_back_the_overage_of_its_own_period(customer: Customer) -> None:
    record(customer, 8, days_ago(5))
    id = record(customer, 5, days_ago(4))["records"][0]["id"]
    path = f"/api/v1/customers/{customer.id}/usage/records/{id}/corrections"
    answer = customer.service.admin.post(path, json={"quantity": -4, "reason": "refund"})
    assert (answer.status_code, answer.json()["overage"], answer.json()["balance"]["used"]) == (201, -3, 0)
    assert customer.service.admin.post(path, json={"quantity": -2, "reason": "refund"}).status_code == 422


def test_events_and_batches_are_measured_in_the_same_way(customer: Customer) -> None:
    event = {"specversion": "1.0", "source": "meter", "type": "sessions", "subject": customer.id}
    events = [event | {"id": str(n), "time": days_ago(5).isoformat(), "data": {"quantity": 8}} for n in range(2)]
    batch = {"Content-Type": "application/cloudevents-batch+json"}
    assert customer.service.admin.post("/api/v1/events", json=events, headers=batch).json()["accepted"] == 2
    usage = {"customer_id": customer.id, "usage": [{"feature": "sessions", "quantity": 2}], "mode": "record"}
    items = [usage | {"occurred_at": days_ago(days).isoformat()} for days in (4, 40, 1)]
    results = customer.service.admin.post("/api/v1/usage/batch", json={"items": items}).json()["results"]
    assert [result["status"] for result in results] == [200, 422, 200]
    assert [result["body"]["over_limit"] for result in results if result["status"] == 200] == [True, False]
    assert overages(customer) == [0, 6, 2, 0]
