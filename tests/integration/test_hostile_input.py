"""Whatever is sent, the answer is the contract's: never a 5xx, and every refusal says what is wrong in the one form."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.coaching import Customer
from tests.integration.contract import OPERATIONS, Operation, publish_everything
from tests.integration.service import ADMIN_KEY, Service, until

UUID = "018f0000-0000-7000-8000-000000000000"
NUL, SURROGATE = "\x00", "\ud800"
VALUES: list[Any] = [
    *(None, True, "", " ", NUL, f"a{NUL}b", SURROGATE, "\udfff\ud800", "x" * 300, "x" * 70_000, "😀" * 64, "\u202e", "1e5", "NaN"),
    *(-1, 0, 0.5, 10**15, 10**18, 2**63, 10**400, -(10**30), 1e308, 1e-308, float("nan"), float("inf"), float("-inf"), -0.0),
    *([], {}, [None], [[]] * 3, {"a": 1}, {NUL: 1}, {SURROGATE: 1}, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
]
BODIES: list[bytes] = [
    *(b"", b"null", b"[]", b"7", b'"x"', b"{", b"{}}", b"NaN", b'{"a":NaN}', b'{"a":1e99999}', b"\xff", b'{"\xff":1}', b"\xef\xbb\xbf{}"),
    *(b"[" * 100_000, b'{"a":' * 50_000, b'{"a":' + b"9" * 5000 + b"}", "{}".encode("utf-16"), b'{"a":1,"a":2}', b'{"\\ud800":1}'),
    b"{}" + b" " * 9_000_000,
]
SEGMENTS = [
    "%00",
    "a%00b",
    "%FF",
    "%ED%A0%80",
    "x" * 300,
    "..",
    "%2e%2e",
    "%0a",
    " ",
    "null",
    "-1",
    UUID.upper(),
    f"{{{UUID}}}",
    f"urn:uuid:{UUID}",
]
CURSORS = ["x", "%00", "é", "=", "AAAA", "x" * 201, "MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMHww", "fA", "fHw", "-_-_"]
TYPES = [
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "a/b/c",
    "json",
]

with_a_body = pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if operation.body is not None], ids=str)


@pytest.fixture(scope="module")
def customer(service: Service) -> Customer:
    publish_everything(service)
    return Customer.new(service, "everything")


@pytest.fixture(scope="module")
def client(service: Service, customer: Customer) -> httpx.Client:
    return service.key(ADMIN_KEY, customer.id)


@pytest.fixture(autouse=True)
def no_complaint(service: Service) -> Iterator[None]:
    before = len(service.errors)
    yield
    assert "ERROR" not in service.errors[before:]


def in_form(response: httpx.Response, asked: object) -> None:
    """An error that the contract knows, in one of its two forms; or a success."""
    assert response.status_code < 500, (asked, response.text)
    assert "internal_error" not in response.text, asked
    if response.status_code < 400:
        return
    assert response.headers["Content-Type"] == "application/json", asked
    detail = response.json()["detail"]
    if isinstance(detail, list):
        assert response.status_code == 422, asked
        assert all({"type", "loc", "msg"} <= item.keys() for item in detail), asked
    else:
        assert isinstance(detail["error"], str), asked
        assert isinstance(detail["message"], str), asked


def send(client: httpx.Client, operation: Operation, path: str, content: bytes, content_type: str | None = None) -> httpx.Response:
    headers = {"Content-Type": operation.content_type if content_type is None else content_type}
    return client.request(operation.method, path, content=content, headers=headers)


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a body a value can be put in place of another."""
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def with_value(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[path[0]] = with_value(copy[path[0]], path[1:], value)
    return copy


@with_a_body
def test_no_value_in_a_body_upsets_the_service(client: httpx.Client, customer: Customer, operation: Operation) -> None:
    path = operation.url(customer.id, UUID)
    for place in places(operation.body):
        for value in VALUES:
            content = json.dumps(with_value(operation.body, place, value)).encode()
            in_form(send(client, operation, path, content), (place, value))


@with_a_body
def test_no_field_beside_the_known_ones_upsets_the_service(client: httpx.Client, customer: Customer, operation: Operation) -> None:
    path = operation.url(customer.id, UUID)
    for name in (NUL, SURROGATE, "x" * 300, "__proto__", "😀"):
        in_form(send(client, operation, path, json.dumps({**(operation.body or {}), name: 1}).encode()), name)


@with_a_body
def test_no_body_upsets_the_service(client: httpx.Client, customer: Customer, operation: Operation) -> None:
    path = operation.url(customer.id, UUID)
    for body in BODIES:
        in_form(send(client, operation, path, body), body[:40])


@with_a_body
def test_no_content_type_upsets_the_service(client: httpx.Client, customer: Customer, operation: Operation) -> None:
    path = operation.url(customer.id, UUID)
    for content_type in TYPES:
        in_form(send(client, operation, path, b"--x\r\n\r\n\xff", content_type), content_type)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_no_path_and_no_key_upsets_the_service(client: httpx.Client, customer: Customer, operation: Operation) -> None:
    for segment in SEGMENTS:
        for path in {operation.url(segment, UUID), operation.url(customer.id, segment), operation.path.replace("{key}", segment)}:
            if "{" not in path:
                in_form(operation.send(client, path), path)
    path = operation.url(customer.id, UUID)
    for key in (b"", b"a b", b"x" * 256, b"\x80", b"\xff" * 10):
        response = operation.send(client, path, {b"Idempotency-Key": key})
        in_form(response, key)
        if operation.method == "POST" and not operation.path.endswith("/check"):  # which books nothing that could be repeated
            assert response.status_code in (422, 404), (key, response.text)


@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if operation.method == "GET"], ids=str)
def test_no_query_upsets_the_service(client: httpx.Client, customer: Customer, operation: Operation) -> None:
    path = operation.url(customer.id, UUID).partition("?")[0]
    for name in ("cursor", "limit", "feature", "dimension", "since", "until", "active", "breakdown", "cost", "runs"):
        for value in (
            *CURSORS,
            "0",
            "-1",
            "1e400",
            "NaN",
            "9" * 400,
            "2026-01-01",
            "0001-01-01T00:00:00%2B14:00",
            "9999-12-31T23:59:59-14:00",
        ):
            in_form(client.get(f"{path}?{name}={value}"), (name, value))


def test_no_customers_id_upsets_the_service(service: Service) -> None:
    for name in (b"\xff", b"x" * 256, b"\xed\xa0\x80", b"", b"a\tb", b"\x80"):
        headers = {b"Authorization": f"Bearer {ADMIN_KEY}".encode(), b"Tollgate-Customer": name}
        in_form(service.anyone.get("/api/v1/sessions", headers=headers), name)


def test_a_body_is_bounded_whether_or_not_its_length_is_told(client: httpx.Client) -> None:
    body = b'{"title": "' + b"x" * 9_000_000 + b'"}'
    for content in (body, iter([body[:1_000_000], body[1_000_000:]])):
        response = client.post("/api/v1/sessions", content=content, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["detail"]["error"]) == (413, "request_too_large")


def test_unknown_routes_and_methods_are_told_in_the_one_form(client: httpx.Client) -> None:
    for method, path, status, error in (
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("DELETE", "/api/v1/sessions", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/api/v1/uploads/x", 405, "method_not_allowed"),
    ):
        response = client.request(method, path)
        assert (response.status_code, response.json()["detail"]["error"]) == (status, error)
        in_form(response, path)


def test_a_request_that_is_no_http_is_refused_and_the_service_goes_on(service: Service) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/v1/sessions HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(garbage)
            connection.settimeout(30)
            connection.recv(100)
    until(lambda: service.anyone.get("/healthz").status_code == 200)
