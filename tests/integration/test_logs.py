"""The log, as whoever runs the service reads it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.raw import exchange, head
from tests.integration.service import ADMIN_KEY, JWT_SECRET, Databases, Service, new_id, until, user_token


@pytest.fixture(scope="module")
def service(databases: Databases) -> Iterator[Service]:
    url = databases.fresh()
    with Service(url, workers=2, log_format="json") as service:
        yield service
    databases.drop(url)


def line_of(service: Service, request_id: str) -> dict[str, Any]:
    """The one line of the request."""

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in service.output.splitlines() if line.startswith('{"at"')]
        return [line for line in lines if line["request_id"] == request_id]

    (line,) = until(found, 10, "the request's line")
    return line


def test_each_request_has_a_line_with_its_customer_operation_and_outcome(service: Service) -> None:
    acme, id = new_id(), new_id("request")
    service.admin.put(f"/api/v1/customers/{acme}", json={"plan": "free"})
    headers = {"Idempotency-Key": id}
    body = {"usage": [{"feature": "sessions", "quantity": 1}]}
    path = f"/api/v1/customers/{acme}/usage"
    asked = [service.admin.post(path, json=body, headers=headers | {"X-Request-Id": f"{id}-{n}"}) for n in (1, 2)]
    asked.append(service.user(acme).get(f"/api/v1/customers/{new_id()}/usage", headers={"X-Request-Id": f"{id}-3"}))
    asked.append(service.anyone.get("/nowhere/secret-path", headers={"X-Request-Id": f"{id}-4"}))
    asked.append(service.user(acme).post("/api/v1/sessions", json={}, headers={"X-Request-Id": f"{id}-5"}))
    assert [answer.status_code for answer in asked] == [200, 200, 404, 404, 422]

    first, again, foreign, nowhere, invalid = (line_of(service, f"{id}-{n}") for n in (1, 2, 3, 4, 5))
    assert (first["customer"], first["operation"], first["status"], first["outcome"]) == (acme, "consume_usage", 200, "ok")
    assert 0 < first["ms"] < 30_000
    assert first["route"] == "/api/v1/customers/{customer_id}/usage"
    assert again["outcome"] == "replayed"
    assert (foreign["customer"], foreign["outcome"]) == (None, "customer_not_found")
    assert (nowhere["route"], nowhere["outcome"]) == ("none", "not_found")
    assert (invalid["customer"], invalid["outcome"]) == (acme, "invalid_request")
    assert "secret-path" not in service.output


def test_a_page_has_the_template_of_its_path_and_not_its_secret(service: Service) -> None:
    id = new_id("request")
    service.anyone.get("/portal/tgs_a-secret", headers={"X-Request-Id": id})
    assert line_of(service, id)["route"] == "/portal/{token}"
    assert "a-secret" not in service.output


def test_what_is_refused_before_it_is_a_request_has_a_line_too(service: Service) -> None:
    id = new_id("request")
    (answer,) = exchange(service, head("GET", "/healthz", "Host: other", f"X-Request-Id: {id}"))
    assert (answer.status, answer.headers["x-request-id"]) == (400, id)
    line = line_of(service, id)
    assert (line["status"], line["outcome"], line["route"]) == (400, "bad_request", "none")


def test_a_mistake_of_ours_stands_in_the_log_under_the_id_that_its_caller_got_without_what_was_sent(database_url: str) -> None:
    acme, id = new_id("anna@example.org-"), new_id("request")
    service = Service(database_url, log_format="json").begin()
    try:
        service.until_ready()
        service.admin.put(f"/api/v1/customers/{acme}", json={"plan": "free"})
        service.database.rows(f"ALTER TABLE customer ADD CONSTRAINT only_for_this_test CHECK (customer_id <> '{acme}') NOT VALID")
        answer = service.admin.patch(f"/api/v1/customers/{acme}", json={"time_zone": "Europe/Rome"}, headers={"X-Request-Id": id})

        assert (answer.status_code, answer.headers["connection"], answer.json()["detail"]["request_id"]) == (500, "close", id)
        found = until(lambda: [line for line in service.errors.splitlines() if id in line], 10, "the trace")
        (told,) = map(json.loads, found)
        assert told["request_id"] == id
        assert "SQLSTATE 23514, constraint only_for_this_test" in told["trace"]
        assert 'File "' in told["trace"]
        assert acme not in service.errors
        assert line_of(service, id)["outcome"] == "internal_error"
    finally:
        service.discard()


def test_no_secret_and_no_token_is_ever_in_the_log(service: Service) -> None:
    token = user_token("acme")
    service.client({"Authorization": f"Bearer {token}x"}).get("/api/v1/sessions")
    service.anyone.get(f"/api/v1/sessions?token={token}", headers={"Authorization": f"Bearer {ADMIN_KEY}x"})
    line_of(service, service.anyone.get("/healthz").headers["x-request-id"])
    for secret in (token, ADMIN_KEY, JWT_SECRET):
        assert secret not in service.output + service.errors


def test_lines_of_requests_can_be_switched_off_and_are_for_people_by_default(database_url: str, tmp_path: Path) -> None:
    with Service(database_url, access_log="false") as silent:
        silent.anyone.get("/healthz")
        told = silent.output
    assert "/healthz" not in told
    with Service(database_url) as talking:
        id = new_id("request")
        talking.anyone.get("/healthz", headers={"X-Request-Id": id})
        until(lambda: id in talking.output, 10, "the line")
        (line,) = [line for line in talking.output.splitlines() if id in line]
    assert " INFO GET /healthz 200 ok " in line
    assert line.endswith(f"request_id={id}")


def test_what_was_answered_last_is_written_before_the_process_ends(database_url: str) -> None:
    service = Service(database_url)
    service.begin().until_ready()
    id = new_id("request")
    service.anyone.get("/healthz", headers={"X-Request-Id": id})
    service.process.terminate()
    service.wait()
    told = service.output
    service.discard()
    assert id in told
