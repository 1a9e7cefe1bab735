"""What is measured, as Prometheus reads it."""

import re
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.raw import exchange, head
from tests.integration.service import Databases, Service, new_id, until


@pytest.fixture(scope="module")
def service(databases: Databases) -> Iterator[Service]:
    url = databases.fresh()
    with Service(url, workers=2, arguments=["--metrics-port", "0"]) as service:
        yield service
    databases.drop(url)


def measured(service: Service) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """By name and labels, from the port of its own."""
    address = re.search(r"Metrics without a key at (\S+)", service.output)
    assert address, service.output
    text = httpx.get(address[1], trust_env=False).raise_for_status().text
    return {(s.name, frozenset(s.labels.items())): s.value for family in text_string_to_metric_families(text) for s in family.samples}


def value(service: Service, name: str, **labels: str) -> float:
    return measured(service).get((name, frozenset(labels.items())), 0)


def test_requests_refusals_and_decisions_are_counted_without_a_customer_or_a_path(service: Service) -> None:
    acme = new_id()
    service.admin.put(f"/api/v1/customers/{acme}", json={"plan": "free"})
    path = f"/api/v1/customers/{acme}/usage"
    feature = f"surely-undeclared-{acme}"
    before = measured(service)
    answers = [
        service.admin.post(path, json={"usage": [{"feature": "sessions", "quantity": 1}]}, headers={"Idempotency-Key": acme}),
        service.admin.post(path, json={"usage": [{"feature": "sessions", "quantity": 1}]}, headers={"Idempotency-Key": acme}),
        service.admin.post(path, json={"usage": [{"feature": "sessions", "quantity": 1_000}]}),
        service.admin.post(path, json={"usage": [{"feature": feature, "quantity": 1}]}),
        service.anyone.get(f"/nowhere/{acme}"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 403, 403, 404]

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return measured(service).get(key, 0) - before.get(key, 0)

    template = "/api/v1/customers/{customer_id}/usage"
    until(lambda: grown("tollgate_http_requests_total", method="GET", route="none", status="404") == 1, 10, "the requests to be counted")
    assert grown("tollgate_http_requests_total", method="POST", route=template, status="200") == 2
    assert grown("tollgate_http_requests_total", method="POST", route=template, status="403") == 2
    assert grown("tollgate_http_request_seconds_count") == 5
    assert grown("tollgate_refusals_total", error="session_limit_exceeded") == 1
    assert grown("tollgate_refusals_total", error="not_found") == 1
    assert grown("tollgate_decisions_total", feature="sessions", outcome="done") == 1
    assert grown("tollgate_decisions_total", feature="sessions", outcome="replayed") == 1
    assert grown("tollgate_decisions_total", feature="sessions", outcome="LimitExceeded") == 1
    assert grown("tollgate_decisions_total", feature="other", outcome="FeatureNotInPlan") == 1
    assert grown("tollgate_queue_seconds_count", use_case="ConsumeUsage") >= 1
    assert not [labels for _, labels in measured(service) if any(acme in text for _, text in labels)]


def test_what_is_refused_before_it_is_a_request_is_counted(service: Service) -> None:
    before = value(service, "tollgate_refusals_total", error="http_version_not_supported")
    exchange(service, b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n")
    until(lambda: value(service, "tollgate_refusals_total", error="http_version_not_supported") == before + 1, 10, "the refusal")


def test_the_pool_and_the_event_loop_are_seen(service: Service) -> None:
    until(lambda: value(service, "tollgate_pool_connections", state="open") >= 1, 10, "a connection")
    assert ("tollgate_event_loop_delay_seconds", frozenset()) in measured(service)


def test_the_route_still_needs_a_key_and_tells_the_same(service: Service) -> None:
    assert service.anyone.get("/metrics").status_code == 401
    exchange(service, head("GET", "/healthz"))
    text = service.admin.get("/metrics").text
    assert 'tollgate_http_requests_total{method="GET",route="/healthz",status="200"}' in text


def test_a_port_that_is_taken_is_told(service: Service, database_url: str) -> None:
    second = Service(database_url, arguments=["--metrics-port", service.port])
    second.begin()
    assert second.wait() == 1
    assert "--metrics-port" in second.errors
    second.discard()
