"""Once per key: a repeated request has no second effect, and gets the first one's answer."""

from collections import Counter
from functools import partial
from uuid import uuid4

import httpx
import pytest

from tests.integration.coaching import AUDIO, NEW_SESSION, Customer, at_once, days_ago
from tests.integration.service import ADMIN_KEY, Service, refused

REPLAYED = "Idempotency-Replayed"


@pytest.fixture
def customer(services: tuple[Service, Service]) -> Customer:
    return Customer.new(services[0])


@pytest.fixture
def key() -> str:
    return uuid4().hex


def told(response: httpx.Response) -> tuple[int, bytes, str | None]:
    return response.status_code, response.content, response.headers.get("Location")


def test_the_same_key_and_body_get_the_same_answer_again_and_create_nothing(customer: Customer, key: str) -> None:
    first, again = customer.create(key), customer.create(key)
    assert told(again) == told(first)
    assert (first.status_code, first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (201, None, "true")
    assert customer.used("sessions") == 1


def test_a_repeat_through_another_process_gets_the_same_answer(customer: Customer, services: tuple[Service, Service], key: str) -> None:
    first, again = customer.create(key), customer.at(services[1]).create(key)
    assert told(again) == told(first)
    assert again.headers[REPLAYED] == "true"


def test_the_same_answer_is_given_after_the_session_has_moved_on(customer: Customer, key: str) -> None:
    first = customer.create(key)
    customer.complete(first.json()["id"], 60)
    assert told(customer.create(key)) == told(first)


def test_the_order_and_spacing_of_a_body_make_no_difference(customer: Customer, key: str) -> None:
    first = customer.create(key)
    text = '{ "stt_provider" : "auto", "language": "en-US", "title": "Weekly\\u0020coaching" }'
    again = customer.client.post("/api/v1/sessions", content=text, headers={"Idempotency-Key": key, "Content-Type": "application/json"})
    assert told(again) == told(first)


def test_the_same_key_with_another_body_is_refused(customer: Customer, key: str) -> None:
    customer.create(key)
    detail = refused(customer.create(key, title="Another"), 422, "idempotency_key_reused")
    assert detail["idempotency_key"] == key
    assert customer.used("sessions") == 1


def test_the_same_key_on_another_route_or_session_is_refused(customer: Customer, key: str) -> None:
    one, other = customer.created(), customer.created()
    headers = {"Idempotency-Key": key}
    body = {"duration_seconds": 60}
    assert customer.backend.post(f"/api/v1/sessions/{one}/complete", json=body, headers=headers).status_code == 200
    refused(customer.backend.post(f"/api/v1/sessions/{other}/complete", json=body, headers=headers), 422, "idempotency_key_reused")
    refused(customer.create(key), 422, "idempotency_key_reused")
    assert customer.used("minutes") == 60


def test_customers_keys_have_nothing_to_do_with_each_other(customer: Customer, services: tuple[Service, Service], key: str) -> None:
    first, others = customer.create(key), Customer.new(services[0]).create(key)
    assert (first.status_code, others.status_code) == (201, 201)
    assert first.json()["id"] != others.json()["id"]


def test_a_refusal_is_not_stored(services: tuple[Service, Service], key: str) -> None:
    customer = Customer.new(services[0], "free")
    customer.has_used("sessions", 10, days_ago(1))
    refused(customer.create(key), 403, "session_limit_exceeded")
    customer.moves_to("pro")
    response = customer.create(key)
    assert (response.status_code, response.headers.get(REPLAYED)) == (201, None)


def test_a_user_and_a_service_may_repeat_each_others_request(customer: Customer, key: str) -> None:
    first = customer.create(key)
    service = customer.service.key(ADMIN_KEY, customer.id)
    again = service.post("/api/v1/sessions", json=NEW_SESSION, headers={"Idempotency-Key": key})
    assert told(again) == told(first)


def test_twenty_duplicates_at_once_over_two_processes_create_one_session_and_all_get_its_answer(
    customer: Customer, services: tuple[Service, Service], key: str
) -> None:
    responses = at_once(*[lambda service=service: customer.at(service).create(key) for _ in range(10) for service in services])
    assert len({told(response) for response in responses}) == 1
    assert Counter(response.headers.get(REPLAYED) for response in responses) == {None: 1, "true": 19}
    assert customer.used("sessions") == 1
    assert len(customer.client.get("/api/v1/sessions").json()["items"]) == 1


def test_with_one_session_left_twenty_duplicates_get_it_and_nobody_is_refused(services: tuple[Service, Service], key: str) -> None:
    customer = Customer.new(services[0], "free")
    customer.has_used("sessions", 9, days_ago(1))
    responses = at_once(*[lambda service=service: customer.at(service).create(key) for _ in range(10) for service in services])
    assert {response.status_code for response in responses} == {201}
    assert customer.used("sessions") == 10


def test_every_post_of_a_session_can_be_repeated(customer: Customer) -> None:
    id = customer.created()
    upload = {"filename": "a.m4a", "content_type": AUDIO, "size_bytes": 5}
    steps = {"upload-url": upload, "confirm-upload": None, "complete": {"duration_seconds": 5}}
    for step, body in steps.items():
        path, headers = f"/api/v1/sessions/{id}/{step}", {"Idempotency-Key": step}
        send = partial(customer.backend.post, path, json=body, headers=headers)
        first, again = send(), send()
        assert first.status_code == 200, first.text
        assert told(again) == told(first)
        assert again.headers[REPLAYED] == "true"
        if step == "upload-url":
            assert customer.send(first.json()["upload_url"], b"sound").status_code == 204


@pytest.mark.parametrize("malformed", ["", "a b", "x" * 256, "é".encode()], ids=["empty", "with a space", "too long", "not ASCII"])
def test_a_malformed_key_is_refused(customer: Customer, malformed: str | bytes) -> None:
    response = customer.client.post("/api/v1/sessions", json=NEW_SESSION, headers={b"Idempotency-Key": malformed})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]


def test_a_key_of_255_visible_characters_is_taken(customer: Customer) -> None:
    key = "!~" + uuid4().hex + "x" * 221
    assert told(customer.create(key)) == told(customer.create(key))
