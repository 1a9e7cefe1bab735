"""What callers send amiss, and how they are told: what is wrong, and what to do."""

import gzip
import json
import re
import time
import zlib
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from tests.integration.coaching import NEW_SESSION, Customer
from tests.integration.contract import OPERATIONS, Operation, publish_everything
from tests.integration.scanning import Scanner
from tests.integration.service import ADMIN_KEY, JWT_SECRET, Service, new_id, refused, user_token


@pytest.fixture(scope="module")
def customer(service: Service) -> Customer:
    publish_everything(service)
    return Customer.new(service, "everything")


# Tokens whose claims have another form than is expected.


def told(service: Service, token: str) -> str:
    response = service.client({"Authorization": f"Bearer {token}"}).get("/api/v1/sessions")
    message: str = refused(response, 401, "unauthenticated")["message"]
    return message


def test_a_token_whose_subject_is_a_number_is_told_to_write_it_as_a_string(service: Service) -> None:
    message = told(service, jwt.PyJWT().encode({"sub": 7, "exp": int(time.time()) + 600}, JWT_SECRET, "HS256"))
    assert "'sub'" in message
    assert "string" in message


def test_a_token_for_an_audience_where_none_is_configured_is_told_which_setting_names_it(service: Service, customer: Customer) -> None:
    message = told(service, user_token(customer.id, aud="https://api.example.com"))
    assert "'aud'" in message
    assert "TOLLGATE_JWT_AUDIENCE" in message


def test_who_cannot_sign_learns_nothing_of_what_is_expected(service: Service) -> None:
    for claims in ({"sub": 7}, {"sub": "alice", "aud": "x"}):
        forged = jwt.PyJWT().encode({**claims, "exp": int(time.time()) + 600}, "another secret, and a long one at that", "HS256")
        assert told(service, forged) == "The token is not valid: get a new one."


# Bodies that are compressed.

COMPRESSED = {"gzip": gzip.compress, "deflate": zlib.compress, "br": lambda content: content, "gzip, identity": gzip.compress}


@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if operation.body is not None], ids=str)
def test_a_compressed_body_is_told_to_be_sent_as_it_is(customer: Customer, operation: Operation) -> None:
    path, content = operation.url(customer.id, str(uuid4())), json.dumps(operation.body).encode()
    headers = {"Content-Type": operation.content_type}
    for encoding, compress in COMPRESSED.items():
        response = customer.backend.request(
            operation.method, path, content=compress(content), headers=headers | {"Content-Encoding": encoding}
        )
        assert encoding in refused(response, 415, "unsupported_media_type")["message"]
        assert response.headers["Accept-Encoding"] == "identity"
    unannounced = customer.backend.request(operation.method, path, content=gzip.compress(content), headers=headers)
    assert "compressed" in refused(unannounced, 415, "unsupported_media_type")["message"]


@pytest.mark.parametrize("encoding", ["identity", "", "Identity"])
def test_a_body_that_is_not_compressed_may_say_so(customer: Customer, encoding: str) -> None:
    assert customer.client.post("/api/v1/sessions", json=NEW_SESSION, headers={"Content-Encoding": encoding}).status_code == 201


def test_credentials_come_before_the_form_of_a_body(service: Service) -> None:
    response = service.anyone.post("/api/v1/sessions", content=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
    refused(response, 401, "unauthenticated")


def test_the_document_says_so(service: Service) -> None:
    for path, item in service.anyone.get("/openapi.json").json()["paths"].items():
        for method, described in item.items():
            if "requestBody" in described:
                assert "unsupported_media_type" in str(described["responses"].get("415")), f"{method} {path}"


# Limits that are reached by what is held.


def estimating(scanner: Scanner, cost: float) -> httpx.Response:
    return scanner.starts(estimated_cost=cost, estimated_runs=0)


def timeless(message: str) -> str:
    """Without the time of day, and the date where it is another one, until when something is held."""
    return re.sub(r"until (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC", "until …", message)


def test_a_budget_that_is_only_held_is_not_told_as_spent(service: Service) -> None:
    scanner = Scanner.new(service)
    assert estimating(scanner, 3).status_code == 201
    detail = refused(estimating(scanner, 0.01), 402, "budget_exceeded")
    assert timeless(detail["message"]) == "Budget exceeded: $3.00 (spent $0.00, set aside $3.00 until …)"
    assert (detail["current_usage"], detail["held"]) == (0, 3)


def test_what_is_spent_and_what_is_held_stand_beside_each_other_rounded_down(service: Service) -> None:
    scanner = Scanner.new(service)
    scanner.adds_standalone(cost=1.999, billable_run=False)
    assert estimating(scanner, 0.999).status_code == 201
    detail = refused(estimating(scanner, 0.5), 402, "budget_exceeded")
    assert timeless(detail["message"]) == "Budget exceeded: $3.00 (spent $1.99, set aside $0.99 until …)"


def test_where_nothing_is_held_the_message_is_the_limit_alone(service: Service) -> None:
    scanner = Scanner.new(service)
    scanner.adds_standalone(cost=3, billable_run=False)
    assert refused(estimating(scanner, 0.01), 402, "budget_exceeded")["message"] == "Budget exceeded: $3.00"


def reserve(client: httpx.Client, customer_id: str, feature: str, quantity: int) -> dict[str, Any]:
    body = {"usage": [{"feature": feature, "quantity": quantity}]}
    answer: dict[str, Any] = client.post(f"/api/v1/customers/{customer_id}/reservations", json=body).json()
    return answer


@pytest.mark.parametrize(
    ("feature", "limit", "message"),
    [
        ("sessions", 10, "Session limit exceeded: 10 (used 4, set aside 6 until …)"),
        ("minutes", 10, "Total minutes limit exceeded: 10 (used 4, set aside 6 until …)"),
        ("api_calls", 10, "Usage limit exceeded: 10 calls (api_calls; used 4, set aside 6 until …)."),
    ],
)
def test_every_limit_says_what_is_held_of_it(service: Service, feature: str, limit: int, message: str) -> None:
    client, id = service.key(ADMIN_KEY), new_id("held")
    plan = {"name": "Held", "entitlements": {feature: {"type": "metered", "limit": limit}}}
    assert client.put(f"/api/v1/plans/held_{feature}", json=plan).status_code in (200, 201)
    client.put(f"/api/v1/customers/{id}", json={"plan": f"held_{feature}"})
    assert client.post(f"/api/v1/customers/{id}/usage", json={"usage": [{"feature": feature, "quantity": 4}]}).status_code == 200
    assert reserve(client, id, feature, 6)["state"] == "held"
    assert timeless(reserve(client, id, feature, 1)["detail"]["message"]) == message
