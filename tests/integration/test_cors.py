"""Web pages of the origins that are set may call with user tokens; what others are told, no browser lets through."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.service import Databases, Service, refused, tollgate

PAGE = "https://app.example.com"
OTHER = "https://evil.example.com"


@pytest.fixture(scope="module")
def open_service(databases: Databases) -> Iterator[Service]:
    url = databases.fresh()
    with Service(url, cors_origins=f"{PAGE}, http://localhost:3000") as service:
        yield service
    databases.drop(url)


def test_a_page_of_an_allowed_origin_may_ask_and_see_the_answer_whatever_it_is(open_service: Service) -> None:
    for path, status in (("/healthz", 200), ("/api/v1/usage/nosuch", 404), ("/api/v1/sessions", 401)):
        answer = open_service.anyone.get(path, headers={"Origin": PAGE})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert {"X-Request-Id", "Location", "Retry-After"} <= set(answer.headers["access-control-expose-headers"].split(", "))
        assert answer.headers["x-request-id"]
        assert "access-control-allow-credentials" not in answer.headers


def test_a_preflight_needs_no_credentials_and_admits_what_pages_send(open_service: Service) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}
    answer = open_service.anyone.options("/api/v1/sessions", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["x-request-id"]
    for method in ("PATCH", "DELETE"):
        refusal = open_service.anyone.options("/api/v1/customers/acme", headers={**asked, "Access-Control-Request-Method": method})
        assert refusal.status_code == 400


def test_a_page_of_another_origin_is_not_admitted(open_service: Service) -> None:
    answer = open_service.anyone.get("/healthz", headers={"Origin": OTHER})
    assert "access-control-allow-origin" not in answer.headers
    preflight = {"Origin": OTHER, "Access-Control-Request-Method": "POST"}
    assert open_service.anyone.options("/api/v1/sessions", headers=preflight).status_code == 400


def test_without_the_setting_no_origin_is_admitted(service: Service) -> None:
    answer = service.anyone.get("/healthz", headers={"Origin": PAGE})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    refused(service.anyone.get("/api/v1/sessions", headers={"Origin": PAGE}), 401, "unauthenticated")


@pytest.mark.parametrize("origins", ["*", "app.example.com", "https://app.example.com/", "https://App.example.com", f"{PAGE} {OTHER}"])
def test_what_is_no_origin_is_told_at_the_start(origins: str, tmp_path: Path) -> None:
    done = tollgate("serve", "--data-dir", tmp_path, cors_origins=origins)
    assert done.returncode != 0
    assert "is no origin" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
