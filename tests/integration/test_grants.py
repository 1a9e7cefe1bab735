"""Grants over HTTP: sold, burnt, voided, and never used twice, whoever asks."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.service import Service, new_id, refused

NOW = datetime.now(UTC)  # noqa: TID251


def in_days(days: float) -> str:
    return (NOW + timedelta(days=days)).isoformat()


@pytest.fixture
def customer(service: Service) -> str:
    """The path of a customer with ten sessions in a period."""
    plan = f"ten-{uuid4().hex[:8]}"
    entitlements = {
        "sessions": {"type": "metered", "limit": 10, "rollover": {"max": 5, "periods": 2}},
        "minutes": {"type": "metered", "limit": 1},
        "max_file_size_mb": {"type": "static", "value": 5},
    }
    assert service.admin.put(f"/api/v1/plans/{plan}", json={"entitlements": entitlements}).status_code == 201
    path = f"/api/v1/customers/{new_id()}"
    assert service.admin.put(path, json={"plan": plan}).status_code == 201
    return path


def grant(service: Service, path: str, quantity: float, **more: object) -> httpx.Response:
    body = {"feature": "sessions", "quantity": quantity, "kind": "paid", **more}
    return service.admin.post(f"{path}/grants", json=body)


def granted(service: Service, path: str, quantity: float, **more: object) -> dict[str, Any]:
    answer = grant(service, path, quantity, **more)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def use(service: Service, path: str, quantity: int, **more: object) -> httpx.Response:
    return service.admin.post(f"{path}/usage", json={"usage": [{"feature": "sessions", "quantity": quantity}], **more})


def sessions(service: Service, path: str) -> dict[str, Any]:
    found: dict[str, Any] = service.admin.get(f"{path}/usage").json()["features"]["sessions"]
    return found


def customer_id(path: str) -> str:
    return path.removeprefix("/api/v1/customers/")


def events_of(service: Service, path: str) -> list[dict[str, Any]]:
    """What the outbox has of a customer, in order."""
    select = "SELECT type, CAST(payload AS text) FROM outbox_event WHERE customer_id = $1 AND type LIKE 'grant.%' ORDER BY id"
    rows = service.database.rows(select, customer_id(path))
    return [{"type": row["type"], **json.loads(row["payload"])} for row in rows]


def test_a_grant_is_sold_used_and_shown_with_what_it_paid_for(service: Service, customer: str) -> None:
    told = granted(service, customer, 5, reference="order 7", reason="top-up", expires_at=in_days(90), priority=200)
    assert (told["state"], told["used"], told["remaining"], told["quantity"]) == ("active", 0, 5, 5)
    assert told["balance"] | {"resets_at": None} == {
        "used": 0, "held": 0, "limit": 15, "remaining": 15, "allowance": 10, "granted": 5, "resets_at": None,
    }  # fmt: skip
    booked = use(service, customer, 12).json()
    assert (booked["balances"]["sessions"]["remaining"], booked["balances"]["sessions"]["granted"]) == (3, 3)
    one = service.admin.get(f"{customer}/grants/{told['id']}").json()
    assert (one["used"], one["remaining"], one["reference"], one["priority"]) == (2, 3, "order 7", 200)
    (entry,) = one["entries"]
    assert (entry["kind"], entry["quantity"], entry["record_id"]) == ("burn", 2, booked["records"][0]["id"])
    refusal = refused(use(service, customer, 4), 403, "session_limit_exceeded")
    assert (refusal["limit"], refusal["allowance"], refusal["granted"], refusal["remaining"]) == (15, 10, 3, 3)
    assert sessions(service, customer)["display"] == "3/15"


def test_what_becomes_of_a_grant_is_in_the_outbox_once_with_what_it_stood_at(service: Service, customer: str) -> None:
    told = granted(service, customer, 5, reference="order 7", reason="top-up")
    grant(service, customer, 5, reference="order 7", reason="top-up")
    refused(grant(service, customer, 6, reference="order 7"), 409, "grant_reference_taken")
    use(service, customer, 12)
    for _ in range(2):
        assert service.admin.post(f"{customer}/grants/{told['id']}/void", json={"reason": "refund"}).status_code == 200
    created, voided = events_of(service, customer)
    assert created == {
        "type": "grant.created", "customer_id": customer_id(customer), "grant_id": told["id"], "feature": "sessions",
        "unit": "session", "kind": "paid", "quantity": 5, "used": 0, "unused": 5, "effective_at": told["effective_at"], "expires_at": None,
        "reference": "order 7", "reason": "top-up",
    }  # fmt: skip
    assert voided == created | {"type": "grant.voided", "used": 2, "unused": 3, "reason": "refund"}


def test_the_same_reference_is_the_same_grant_and_another_content_is_refused(service: Service, customer: str) -> None:
    first = granted(service, customer, 5, reference="order 8")
    again = grant(service, customer, 5, reference="order 8")
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    refused(grant(service, customer, 6, reference="order 8"), 409, "grant_reference_taken")
    refused(grant(service, customer, 5, reference="order 8", feature="minutes"), 409, "grant_reference_taken")
    assert sessions(service, customer)["limit"] == 15


def test_a_grant_is_voided_once_and_what_was_burnt_stays_burnt(service: Service, customer: str) -> None:
    told = granted(service, customer, 5)
    assert use(service, customer, 12).status_code == 200
    for _ in range(2):
        voided = service.admin.post(f"{customer}/grants/{told['id']}/void", json={"reason": "payment failed"})
        assert voided.status_code == 200, voided.text
        body = voided.json()
        assert (body["state"], body["used"], body["remaining"], body["void_reason"]) == ("voided", 2, 0, "payment failed")
        assert (body["balance"]["limit"], body["balance"]["remaining"]) == (12, 0)
    refused(use(service, customer, 1), 403, "session_limit_exceeded")


def test_a_top_up_covers_what_was_recorded_beyond_the_limit(service: Service, customer: str) -> None:
    assert use(service, customer, 12, mode="record").json()["over_limit"]
    told = granted(service, customer, 5)
    assert (told["used"], told["remaining"], told["balance"]["remaining"]) == (2, 3, 3)
    assert sessions(service, customer)["overage"] == 0


def test_a_grant_ends_by_the_clock_and_what_flows_back_to_it_lapses(service: Service, customer: str) -> None:
    end = datetime.now(UTC) + timedelta(seconds=1.5)  # noqa: TID251
    granted(service, customer, 5, kind="promotional", expires_at=end.isoformat())
    record = use(service, customer, 4).json()["records"][0]["id"]
    time.sleep(max((end - datetime.now(UTC)).total_seconds(), 0) + 0.05)  # noqa: TID251
    assert (sessions(service, customer)["limit"], sessions(service, customer)["remaining"]) == (14, 10)
    corrected = service.admin.post(f"{customer}/usage/records/{record}/corrections", json={"quantity": -3, "reason": "mistake"})
    assert (corrected.status_code, corrected.json()["lapsed"]) == (201, 3)
    assert corrected.json()["balance"]["remaining"] == 10
    (listed,) = service.admin.get(f"{customer}/grants").json()["items"]
    assert (listed["state"], listed["used"], listed["remaining"]) == ("expired", 1, 0)


def test_grants_are_listed_by_feature_and_state(service: Service, customer: str) -> None:
    ids = {
        "active": granted(service, customer, 1)["id"],
        "scheduled": granted(service, customer, 1, effective_at=in_days(1))["id"],
        "expired": granted(service, customer, 1, effective_at=in_days(-2), expires_at=in_days(-1))["id"],
        "voided": granted(service, customer, 1)["id"],
        "depleted": granted(service, customer, 1, priority=1)["id"],
    }
    assert service.admin.post(f"{customer}/grants/{ids['voided']}/void", json={"reason": "x"}).status_code == 200
    assert use(service, customer, 1).status_code == 200
    granted(service, customer, 1, feature="minutes")
    for state, id in ids.items():
        found = service.admin.get(f"{customer}/grants", params={"state": state, "feature": "sessions"}).json()["items"]
        assert [(item["id"], item["state"]) for item in found] == [(id, state)]
    pages, cursor = [], None
    while True:
        page = service.admin.get(f"{customer}/grants", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        pages += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert (len(pages), len(set(pages))) == (6, 6)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"feature": "exports"}, 403, "feature_not_in_plan"),
        ({"feature": "max_file_size_mb"}, 422, "feature_not_metered"),
        ({"quantity": 0}, 422, "invalid_quantity"),
        ({"quantity": -1}, 422, "invalid_quantity"),
        ({"quantity": 10**17}, 422, "invalid_quantity"),
        ({"effective_at": in_days(-40)}, 422, "invalid_grant"),
        ({"effective_at": in_days(2), "expires_at": in_days(1)}, 422, "invalid_grant"),
        ({"kind": "rollover"}, 422, None),
        ({"priority": 0}, 422, None),
        ({"priority": 1001}, 422, None),
        ({"priority": 5.5}, 422, None),
        ({"colour": "red"}, 422, None),
        ({"reference": ""}, 422, None),
        ({"expires_at": "tomorrow"}, 422, None),
    ],
)
def test_what_cannot_be_granted_is_refused_and_leaves_nothing(
    service: Service, customer: str, body: dict[str, object], status: int, code: str | None
) -> None:
    answer = service.admin.post(f"{customer}/grants", json={"feature": "sessions", "quantity": 5, "kind": "paid"} | body)
    assert answer.status_code == status, answer.text
    if code is not None:
        refused(answer, status, code)
    assert service.admin.get(f"{customer}/grants").json()["items"] == []
    assert sessions(service, customer)["limit"] == 10


def test_a_grant_that_is_nobodys_is_not_found(service: Service, customer: str) -> None:
    other = f"/api/v1/customers/{new_id()}"
    assert service.admin.put(other, json={"plan": "free"}).status_code == 201
    id = granted(service, customer, 5)["id"]
    for path in (f"{other}/grants/{id}", f"{customer}/grants/{uuid4()}", f"{customer}/grants/nonsense"):
        refused(service.admin.get(path), 404, "grant_not_found")
        refused(service.admin.post(f"{path}/void", json={"reason": "x"}), 404, "grant_not_found")
    unknown = f"/api/v1/customers/{new_id()}/grants"
    refused(service.admin.get(unknown), 404, "customer_not_found")
    refused(grant(service, unknown.removesuffix("/grants"), 5), 404, "customer_not_found")


def test_an_idempotency_key_gets_the_same_grant_again(service: Service, customer: str) -> None:
    body, headers = {"feature": "sessions", "quantity": 5, "kind": "paid"}, {"Idempotency-Key": "buy-1"}
    first, again = (service.admin.post(f"{customer}/grants", json=body, headers=headers) for _ in range(2))
    assert first.status_code == again.status_code == 201, (first.text, again.text, again.headers)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert sessions(service, customer)["limit"] == 15


def test_a_hold_is_not_admitted_against_what_ends_before_it(service: Service, customer: str) -> None:
    assert use(service, customer, 10).status_code == 200
    granted(service, customer, 5, expires_at=(datetime.now(UTC) + timedelta(minutes=5)).isoformat())  # noqa: TID251
    body = {"usage": [{"feature": "sessions", "quantity": 3}], "ttl_seconds": 600}
    refused(service.admin.post(f"{customer}/reservations", json=body), 403, "session_limit_exceeded")
    held = service.admin.post(f"{customer}/reservations", json=body | {"ttl_seconds": 60})
    assert (held.status_code, held.json()["balances"]["sessions"]["remaining"]) == (201, 2)
    refused(
        service.admin.post(f"{customer}/reservations/{held.json()['id']}/extend", json={"ttl_seconds": 600}), 403, "session_limit_exceeded"
    )
    committed = service.admin.post(f"{customer}/reservations/{held.json()['id']}/commit", json={})
    assert (committed.status_code, committed.json()["balances"]["sessions"]["granted"]) == (200, 2)


def test_where_a_customer_stood_shows_the_grants_of_then(service: Service, customer: str) -> None:
    assert use(service, customer, 9).status_code == 200
    before = datetime.now(UTC)  # noqa: TID251
    granted(service, customer, 5)
    assert use(service, customer, 3).status_code == 200

    def shown(**params: str) -> tuple[float, ...]:
        told = service.admin.get(f"{customer}/usage", params=params).json()["features"]["sessions"]
        return told["used"], told["limit"], told["granted"]

    now = datetime.now(UTC).isoformat()  # noqa: TID251
    assert shown(at=before.isoformat()) == (9, 10, 0)
    assert shown(at=now) == shown() == (12, 15, 3)
    assert shown(at=now, known_at=before.isoformat()) == (9, 10, 0)
