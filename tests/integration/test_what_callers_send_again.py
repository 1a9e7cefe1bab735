"""What callers send again: the same request in another spelling is the same request, and another request is not."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.coaching import Customer, days_ago
from tests.integration.scanning import Scanner
from tests.integration.service import ADMIN_KEY, Service, refused

JSON = "application/json"
EVENTS = "application/cloudevents-batch+json"


@pytest.fixture
def customer(service: Service) -> Customer:
    return Customer.new(service, "premium")


@pytest.fixture
def key() -> str:
    return uuid4().hex


def post(customer: Customer, path: str, text: str, key: str, content_type: str = JSON) -> httpx.Response:
    """A body as it is spelled."""
    client = customer.service.key(ADMIN_KEY, customer.id)
    return client.post(f"/api/v1/{path}", content=text.encode(), headers={"Content-Type": content_type, "Idempotency-Key": key})


def is_the_same(customer: Customer, path: str, key: str, texts: list[str], content_type: str = JSON) -> None:
    """All these bodies get the answer of the first."""
    first, *others = (post(customer, path, text, key, content_type) for text in texts)
    assert first.status_code in (200, 201), first.text
    for text, again in zip(texts[1:], others, strict=True):
        assert (again.status_code, again.content, again.headers.get("Idempotency-Replayed")) == (
            first.status_code,
            first.content,
            "true",
        ), text


def usage(*texts: str, **fields: str) -> str:
    """A body whose quantities are spelled like this; so are the values of the further fields."""
    items = ", ".join(f'{{"feature": "ai_cost", "quantity": {text}}}' for text in texts)
    return "{" + ", ".join([f'"usage": [{items}]', *(f'"{name}": {value}' for name, value in fields.items())]) + "}"


@pytest.mark.parametrize(
    "numbers",
    [
        ("1", "1.0", "1e0", "10e-1", "1.000"),
        ("0.5", "0.50", "5e-1"),
        ("0.3", "0.30000000000000004"),
        ("10", "1e1", "10.0"),
        ("1e-7", "0.0000001"),
    ],
    ids=str,
)
def test_a_number_is_the_same_however_it_is_spelled(customer: Customer, key: str, numbers: tuple[str, ...]) -> None:
    is_the_same(customer, f"customers/{customer.id}/usage", key, [usage(number, mode='"record"') for number in numbers])
    assert len(records(customer)) == 1


@pytest.mark.parametrize("numbers", [("1", "2"), ("0.3", "0.31"), ("10", "1"), ("1000000", "1000001"), ("0.1", "0.100000001")], ids=str)
def test_another_number_is_another_request(customer: Customer, key: str, numbers: tuple[str, str]) -> None:
    first, other = (post(customer, f"customers/{customer.id}/usage", usage(number, mode='"record"'), key) for number in numbers)
    assert first.status_code == 200, first.text
    refused(other, 422, "idempotency_key_reused")


def records(customer: Customer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = customer.client.get(f"/api/v1/customers/{customer.id}/usage/records").json()["items"]
    return items


def test_the_order_of_keys_white_space_and_defaults_make_no_difference(customer: Customer, key: str) -> None:
    texts = [
        '{"usage":[{"feature":"ai_cost","quantity":1}]}',
        '{ "usage" : [ { "quantity" : 1 ,\n "feature" : "ai_cost" } ] }',
        '{"mode":"enforce","usage":[{"feature":"ai_cost","quantity":1,"dimension":null}],"reference":null,"occurred_at":null}',
        '{"usage":[{"feature":"ai\\u005fcost","quantity":1}]}',
    ]
    is_the_same(customer, f"customers/{customer.id}/usage", key, texts)


def test_an_instant_is_the_same_in_every_time_zone(customer: Customer, key: str) -> None:
    at = days_ago(1).replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%S")
    texts = [usage("1", mode='"record"', occurred_at=f'"{at}{offset}"') for offset in ("Z", "+00:00", ".000Z", ".000000-00:00")]
    is_the_same(customer, f"customers/{customer.id}/usage", key, texts)
    other = usage("1", mode='"record"', occurred_at=f'"{at}+01:00"')
    refused(post(customer, f"customers/{customer.id}/usage", other, key), 422, "idempotency_key_reused")


def test_no_body_is_the_same_as_one_that_says_nothing(customer: Customer, key: str) -> None:
    held = post(customer, f"customers/{customer.id}/reservations", usage("1"), uuid4().hex).json()["id"]
    is_the_same(customer, f"customers/{customer.id}/reservations/{held}/commit", key, ["", "{}", '{"usage": null}', "null"])
    other = usage("0.5")
    refused(post(customer, f"customers/{customer.id}/reservations/{held}/commit", other, key), 422, "idempotency_key_reused")


def test_one_key_for_two_things_is_refused_whatever_their_ids_have_in_them(service: Service, key: str) -> None:
    scanner = Scanner.new(service)
    client = service.key(ADMIN_KEY, scanner.id)
    for id in ("a?1", "a?2", "b#1", "b#2"):
        assert client.post("/api/v1/operations", json={"id": id, "feature": "scan"}).status_code == 201
    for one, other in (("a%3F1", "a%3F2"), ("b%231", "b%232")):
        headers = {"Idempotency-Key": f"{key}-{one[0]}"}
        assert client.post(f"/api/v1/operations/{one}/complete", headers=headers).status_code == 200
        refused(client.post(f"/api/v1/operations/{other}/complete", headers=headers), 422, "idempotency_key_reused")


# Batches and events, whose parts are understood one by one.


def batch(customer: Customer, quantity: str, **fields: str) -> str:
    item = usage(quantity, customer_id=f'"{customer.id}"', **fields)
    return '{"items": [' + item + "]}"


def test_a_batch_is_the_same_however_it_is_spelled(customer: Customer, key: str) -> None:
    texts = [
        batch(customer, "1"),
        json.dumps(json.loads(batch(customer, "1")), sort_keys=True, indent=2),
        batch(customer, "1.0", mode='"enforce"', reference="null"),
    ]
    is_the_same(customer, "usage/batch", key, texts)
    assert len(records(customer)) == 1
    refused(post(customer, "usage/batch", batch(customer, "2"), key), 422, "idempotency_key_reused")


def test_an_item_with_a_key_of_its_own_is_the_same_however_it_is_spelled(customer: Customer, key: str) -> None:
    for quantity in ("1", "1.0"):
        answer = post(customer, "usage/batch", batch(customer, quantity, idempotency_key=f'"{key}"'), uuid4().hex).json()
        assert answer["results"][0]["status"] == 200
    assert len(records(customer)) == 1
    other = post(customer, "usage/batch", batch(customer, "2", idempotency_key=f'"{key}"'), uuid4().hex).json()["results"][0]
    assert (other["status"], other["body"]["detail"]["error"]) == (422, "idempotency_key_reused")


def test_a_batch_whose_malformed_item_was_mended_is_another_one(customer: Customer, key: str) -> None:
    malformed = batch(customer, '"one"')
    assert [post(customer, "usage/batch", malformed, key).json()["results"][0]["status"] for _ in range(2)] == [422, 422]
    refused(post(customer, "usage/batch", batch(customer, "1"), key), 422, "idempotency_key_reused")


def event(customer: Customer, quantity: str, id: str = "1", time: str = "2026-11-26T00:00:00Z") -> str:
    head = f'"specversion": "1.0", "id": "{id}", "source": "gateway", "type": "ai_cost", "subject": "{customer.id}"'
    return f'[{{{head}, "time": "{time}", "data": {{"quantity": {quantity}}}}}]'


def test_events_are_the_same_however_they_are_spelled(customer: Customer, key: str) -> None:
    at = days_ago(1).replace(microsecond=0).isoformat()
    texts = [
        event(customer, "1", time=at),
        json.dumps(json.loads(event(customer, "1", time=at)), sort_keys=True, indent=2),
        event(customer, "1.0", time=at.replace("+00:00", "Z")),
    ]
    is_the_same(customer, "events", key, texts, EVENTS)
    for other in (event(customer, "2", time=at), event(customer, "1", id="2", time=at), event(customer, "1", time=days_ago(2).isoformat())):
        refused(post(customer, "events", other, key, EVENTS), 422, "idempotency_key_reused")


def test_events_of_which_another_one_is_rejected_are_others(customer: Customer, key: str) -> None:
    at = days_ago(1).isoformat()
    first = post(customer, "events", event(customer, '"one"', time=at), key, EVENTS)
    assert first.json()["rejected"]
    assert post(customer, "events", event(customer, '"one"', time=at), key, EVENTS).content == first.content
    refused(post(customer, "events", event(customer, "1", time=at), key, EVENTS), 422, "idempotency_key_reused")
