"""What every answer carries, whoever answers it."""

import re

import pytest

from tests.integration.service import Service, user_token

ASKED = [
    ("GET", "/healthz", None),
    ("HEAD", "/healthz", None),
    ("HEAD", "/readyz", None),
    ("GET", "/api/v1/plans", None),
    ("GET", "/api/v1/plans/none", None),
    ("GET", "/nowhere", None),
    ("DELETE", "/healthz", None),
    ("POST", "/api/v1/usage/batch", b"no json"),
    ("POST", "/api/v1/events", b"x" * 9_000_000),
    ("PUT", "/api/v1/customers/acme", b"{}"),
    ("GET", "/openapi.json", None),
    ("GET", "/metrics", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ASKED, ids=[f"{method} {path}" for method, path, _ in ASKED])
def test_every_answer_has_a_request_id_and_is_not_to_be_kept(service: Service, method: str, path: str, body: bytes | None) -> None:
    found = [service.admin.request(method, path, content=body, headers={"Content-Type": "application/json"}) for _ in range(2)]
    for answered in found:
        assert re.fullmatch(r"[!-~]{1,128}", answered.headers["x-request-id"])
        assert answered.headers["x-content-type-options"] == "nosniff"
        assert answered.headers["cache-control"] == "no-store"
    assert found[0].headers["x-request-id"] != found[1].headers["x-request-id"]
    if method == "HEAD":
        assert (found[0].status_code, found[0].content) == (200, b"")


@pytest.mark.parametrize(
    ("given", "taken"), [("order-17", True), ("x" * 128, True), ("x" * 129, False), ("with space", False), ("", False)]
)
def test_a_callers_own_request_id_is_kept_where_it_is_one(service: Service, given: str, taken: bool) -> None:
    answered = service.client({"Authorization": f"Bearer {user_token('acme')}", "X-Request-Id": given}).get("/api/v1/sessions")
    assert (answered.headers["x-request-id"] == given) is taken
