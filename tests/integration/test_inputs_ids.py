"""Ids are stored as they are, however long in bytes; white space at either end is refused, and never trimmed to another's id."""

import http.client
import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.integration.coaching import NEW_SESSION, Customer
from tests.integration.service import ADMIN_KEY, Service, new_id, refused

BATCH = {"Content-Type": "application/cloudevents-batch+json"}
PLAN = "ids"

PADDED = ["{} ", " {}", "{}\u00a0", "\u00a0{}", "{}\u3000", "\u2003{}", "{}\t", "\r{}", "{}\u2028", "{}\x85", " "]


def longest() -> str:
    """255 characters of four bytes each, in no order that could be compressed."""
    return "".join(chr(random.randrange(0x20000, 0x2A6E0)) for _ in range(255))


def made(service: Service, id: str) -> Customer:
    features = ("sessions", "minutes", "practice_sessions", "assessments", "ai_runs", "ai_cost", "conversations")
    entitlements = {feature: {"type": "metered", "limit": None} for feature in features}
    assert service.admin.put(f"/api/v1/plans/{PLAN}", json={"entitlements": entitlements}).is_success
    put = service.admin.put(f"/api/v1/customers/{quote(id, safe='')}", json={"plan": PLAN})
    assert (put.status_code, put.json()["customer_id"]) == (201, id)
    return Customer(id, service)


@pytest.fixture(scope="module")
def customer(service: Service) -> Customer:
    """One whose own id is as long as it can be."""
    return made(service, longest())


def client(customer: Customer) -> httpx.Client:
    headers = {b"Authorization": f"Bearer {ADMIN_KEY}".encode(), b"Tollgate-Customer": customer.id.encode()}
    return customer.service.client(headers)  # type: ignore[arg-type]


def post(customer: Customer, path: str, body: Any, **headers: str) -> httpx.Response:
    return client(customer).post(f"/api/v1/{path}", json=body, headers=headers)


def of_customer(customer: Customer, path: str) -> str:
    return f"customers/{quote(customer.id, safe='')}/{path}"


def sent(customer: Customer, *events: tuple[str, str]) -> tuple[int, int, int]:
    """Of events with these sources and ids: how many were accepted, known, and rejected."""
    bodies = [
        {
            "specversion": "1.0",
            "id": id,
            "source": source,
            "type": "sessions",
            "subject": customer.id,
            "data": {"quantity": 1, "dimension": longest()[:64]},
        }
        for source, id in events
    ]
    answer = customer.service.admin.post("/api/v1/events", json=bodies, headers=BATCH)
    assert answer.status_code == 200, answer.text
    return answer.json()["accepted"], answer.json()["duplicates"], len(answer.json()["rejected"])


# As long as they can be.


def test_the_longest_ids_of_events_are_stored_and_known(customer: Customer) -> None:
    source, id = longest(), longest()
    others = [(source[:-1], id), (source, id[:-1]), (source[:-1], source[-1] + id[:-1])]
    assert sent(customer, (source, id), *others) == (4, 0, 0)
    assert sent(customer, *others, (source, id)) == (0, 4, 0)


def test_sources_and_ids_are_told_apart_wherever_one_ends_and_the_other_begins(service: Service) -> None:
    customer = made(service, new_id())
    events = [
        ("ab", "c"),
        ("a", "bc"),
        ("1:a", "b"),
        ("1", ":ab"),
        ("1", "1:a"),
        ("11", ":a"),
        ("a\\", "b"),
        ("a", "\\b"),
        ("\\x61", "\\000"),
    ]
    assert sent(customer, *events) == (len(events), 0, 0)
    assert sent(customer, *events) == (0, len(events), 0)
    assert sent(customer, ("a", "\\\\b"), ("a\\\\", "b"), ("a", "x00")) == (3, 0, 0)


def test_the_longest_ids_of_operations_and_steps_are_stored_and_known(customer: Customer) -> None:
    operation, step = longest(), longest()
    path = f"operations/{quote(operation, safe='')}"
    assert [post(customer, "operations", {"id": operation, "feature": "scan"}).status_code for _ in range(2)] == [201, 200]
    work = {"id": step, "feature": longest()[:64], "cost": 0.01, "billable_run": True}
    added = post(customer, f"{path}/steps", work)
    assert (added.status_code, added.json()["id"], added.json()["step"]["id"]) == (201, operation, step)
    assert post(customer, f"{path}/steps", work).status_code == 200
    refused(post(customer, f"{path}/steps", work | {"cost": 0.02}), 409, "step_conflict")
    assert post(customer, f"{path}/steps", work | {"id": step[:-1]}).status_code == 201
    assert post(customer, f"{path}/complete", {}).status_code == 200
    whole = client(customer).get(f"/api/v1/{path}").json()
    assert [item["id"] for item in whole["steps"]] == [step, step[:-1]]


def test_the_longest_id_of_a_standalone_operation_is_stored_and_known(customer: Customer) -> None:
    work = {"id": longest(), "feature": "scan", "cost": 0.01, "billable_run": True}
    assert [post(customer, "operations/standalone", work).status_code for _ in range(2)] == [201, 200]


def test_the_longest_ids_of_learners_are_stored_and_known(customer: Customer) -> None:
    practice, assessment = longest(), longest()
    assert [post(customer, "practice-sessions/start", {"id": practice}).status_code for _ in range(2)] == [201, 200]
    saved = {"id": practice, "duration_seconds": 1}
    assert [post(customer, "practice-sessions/save", saved).status_code for _ in range(2)] == [201, 200]
    assert [post(customer, "assessments", {"id": assessment, "kind": "speaking"}).status_code for _ in range(2)] == [201, 200]
    refused(
        post(customer, "practice-sessions/save", {"duration_seconds": 1, "learning_plan_id": longest()}), 404, "learning_plan_not_found"
    )
    refused(client(customer).get(f"/api/v1/learning-plans/{quote(longest(), safe='')}"), 404, "learning_plan_not_found")


def test_the_longest_id_of_a_message_is_stored_and_known(customer: Customer) -> None:
    message = {"direction": "inbound", "counterparty": "+14155552671", "message_id": longest()}
    assert [post(customer, "messages", message).status_code for _ in range(2)] == [201, 200]


def test_the_longest_references_and_keys_are_stored_and_known(customer: Customer) -> None:
    usage = {"usage": [{"feature": "sessions", "quantity": 1, "dimension": longest()[:64]}], "reference": longest()}
    key = {"Idempotency-Key": "".join(random.choices("".join(map(chr, range(33, 127))), k=255))}
    first, second = (post(customer, of_customer(customer, "usage"), usage, **key) for _ in range(2))
    assert (first.status_code, second.json(), second.headers["Idempotency-Replayed"]) == (200, first.json(), "true")
    held = {"usage": [{"feature": "sessions", "quantity": 1}], "reference": longest()}
    id = post(customer, of_customer(customer, "reservations"), held).json()["id"]
    assert post(customer, of_customer(customer, f"reservations/{id}/commit"), {}).status_code == 200
    records = customer.service.admin.get(f"/api/v1/{of_customer(customer, 'usage/records')}").json()["items"]
    assert {held["reference"], usage["reference"]} <= {record["reference"] for record in records}


def test_a_customer_of_the_longest_id_has_tokens_of_its_own(customer: Customer) -> None:
    assert customer.client.post("/api/v1/sessions", json=NEW_SESSION).status_code == 201
    assert customer.client.get(f"/api/v1/{of_customer(customer, 'usage')}").status_code == 200


# White space at either end.


Put = Callable[[Customer, str], httpx.Response]


def an_event(customer: Customer, id: str, **changed: str) -> httpx.Response:
    body = {"specversion": "1.0", "id": id, "source": "m", "type": "sessions", "subject": customer.id} | changed
    return customer.service.admin.post("/api/v1/events", json=[body], headers=BATCH)


NAMED: dict[str, Put] = {
    "an operation": lambda customer, name: post(customer, "operations", {"id": name, "feature": "scan"}),
    "an operation in a path": lambda customer, name: client(customer).get(f"/api/v1/operations/{quote(name, safe='')}"),
    "a standalone operation": lambda customer, name: post(
        customer, "operations/standalone", {"id": name, "feature": "scan", "cost": 1, "billable_run": True}
    ),
    "a practice session": lambda customer, name: post(customer, "practice-sessions/save", {"id": name, "duration_seconds": 1}),
    "a started practice session": lambda customer, name: post(customer, "practice-sessions/start", {"id": name}),
    "a learning plan": lambda customer, name: post(customer, "practice-sessions/save", {"learning_plan_id": name, "duration_seconds": 1}),
    "a learning plan in a path": lambda customer, name: client(customer).get(f"/api/v1/learning-plans/{quote(name, safe='')}"),
    "an assessment": lambda customer, name: post(customer, "assessments", {"id": name, "kind": "speaking"}),
    "a message": lambda customer, name: post(
        customer, "messages", {"direction": "inbound", "counterparty": "+14155552671", "message_id": name}
    ),
    "a customer in a path": lambda customer, name: customer.service.admin.put(
        f"/api/v1/customers/{quote(name, safe='')}", json={"plan": PLAN}
    ),
    "a customer's usage": lambda customer, name: customer.service.admin.get(f"/api/v1/customers/{quote(name, safe='')}/usage"),
    "an event's id": an_event,
    "an event's source": lambda customer, name: an_event(customer, "e", source=name),
    "an event's subject": lambda customer, name: an_event(customer, "e", subject=name),
    "a batch's customer": lambda customer, name: customer.service.admin.post(
        "/api/v1/usage/batch", json={"items": [{"customer_id": name, "usage": [{"feature": "sessions", "quantity": 1}]}]}
    ),
}


@pytest.fixture(scope="module")
def named(service: Service) -> Customer:
    """One that has something under the id `name` wherever there can be anything."""
    customer = made(service, new_id())
    for put in NAMED.values():
        put(customer, customer.id)
    return customer


@pytest.mark.parametrize("put", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize("padded", PADDED, ids=ascii)
def test_white_space_at_either_end_of_an_id_is_refused(named: Customer, put: Put, padded: str) -> None:
    response = put(named, padded.format(named.id))
    if response.status_code == 200:
        (answer,) = response.json().get("results") or response.json()["rejected"]
        assert answer.get("status", 422) == 422, response.text
    else:
        assert response.status_code == 422, response.text


@pytest.mark.parametrize("id", ["a b", "a\u00a0b", "\u200ba\u200d", "\ufeffa", "\U0001f469\u200d\U0001f4bb"], ids=ascii)
def test_an_id_may_have_anything_else(named: Customer, id: str) -> None:
    for kind in ("an operation", "a practice session", "an assessment", "a message"):
        assert NAMED[kind](named, id).status_code in (200, 201)
    assert an_event(named, id).json()["rejected"] == []


def created(service: Service, header: str, customer_id: str, value: str) -> tuple[int, str]:
    """A session, by a request with this header as it is: clients that know HTTP would trim it."""
    body = json.dumps(NEW_SESSION).encode()
    headers = {"Tollgate-Customer": customer_id, "Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection.putrequest("POST", "/api/v1/sessions")
    for name, given in (headers | {"Content-Length": str(len(body)), header: value}).items():
        connection.putheader(name, given.encode())
    connection.endheaders(body)
    response = connection.getresponse()
    answer = response.read().decode()
    connection.close()
    return response.status, answer


@pytest.mark.parametrize("padded", ["{} ", "{}\t", "{} \t ", "{}\u00a0", "\u00a0{}", "\u3000{}"], ids=ascii)
def test_white_space_at_either_end_of_the_header_is_refused(service: Service, named: Customer, padded: str) -> None:
    status, answer = created(service, "Tollgate-Customer", named.id, padded.format(named.id))
    assert (status, "Tollgate-Customer" in answer) == (422, True), answer


def test_what_stands_before_a_header_is_no_part_of_it(service: Service, named: Customer) -> None:
    """That is HTTP's rule, and can be no mistake: no id begins with white space."""
    assert created(service, "Tollgate-Customer", named.id, f"  {named.id}")[0] == 201


@pytest.mark.parametrize("padded", ["{} ", "{}\t", "{}\u00a0", "\u00a0{}"], ids=ascii)
def test_white_space_at_either_end_of_an_idempotency_key_is_refused(service: Service, named: Customer, padded: str) -> None:
    status, answer = created(service, "Idempotency-Key", named.id, padded.format(new_id("key")))
    assert (status, "Idempotency-Key" in answer) == (422, True), answer


def test_a_token_of_an_id_with_white_space_is_refused(service: Service, named: Customer) -> None:
    for padded in ("{} ", " {}", "{}\u00a0"):
        refused(service.user(padded.format(named.id)).get("/api/v1/sessions"), 401, "unauthenticated")
