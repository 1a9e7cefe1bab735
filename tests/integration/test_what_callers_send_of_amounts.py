"""What callers send of amounts: whoever is billed for them does not report them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.integration.coaching import NEW_SESSION, Customer
from tests.integration.contract import publish_everything
from tests.integration.service import ADMIN_KEY, Service, new_id, refused


@pytest.fixture(scope="module", autouse=True)
def plans(service: Service) -> None:
    publish_everything(service)


@pytest.fixture
def customer(service: Service) -> Customer:
    return Customer.new(service, "everything")


@dataclass(frozen=True)
class Report:
    """A request that reports amounts; `path` may name a session or an operation that `before` makes."""

    path: str
    body: dict[str, Any] | None
    before: Callable[[httpx.Client], str] = field(default=lambda backend: "")

    def __str__(self) -> str:
        return self.path

    def send(self, client: httpx.Client, id: str) -> httpx.Response:
        return client.post(f"/api/v1/{self.path.format(id=id)}", json=self.body)


def session(backend: httpx.Client) -> str:
    id: str = backend.post("/api/v1/sessions", json=NEW_SESSION).json()["id"]
    return id


def operation(backend: httpx.Client) -> str:
    id: str = backend.post("/api/v1/operations", json={"feature": "scan"}).json()["id"]
    return id


STEP = {"feature": "ocr", "cost": 0, "billable_run": False}
REPORTS = [
    Report("sessions/{id}/complete", {"duration_seconds": 0}, session),
    Report("sessions/{id}/fail", {"reason": "silence"}, session),
    Report("operations", {"feature": "scan", "estimated_cost": 0, "estimated_runs": 0}),
    Report("operations/standalone", STEP),
    Report("operations/{id}/steps", STEP, operation),
    Report("operations/{id}/complete", None, operation),
    Report("operations/{id}/fail", None, operation),
    Report("messages", {"direction": "outbound", "counterparty": "+14155552671", "message_id": "m1"}),
]

every_report = pytest.mark.parametrize("report", REPORTS, ids=str)


@every_report
def test_a_customers_own_token_reports_no_amounts(service: Service, customer: Customer, report: Report) -> None:
    backend = service.key(ADMIN_KEY, customer.id)
    id = report.before(backend)
    before = customer.client.get(f"/api/v1/customers/{customer.id}/usage").json()
    detail = refused(report.send(customer.client, id), 403, "forbidden")
    assert detail["required_scope"] == "write"
    for what_to_use in ("service key", "'write'", "Tollgate-Customer"):
        assert what_to_use in detail["message"]
    assert customer.client.get(f"/api/v1/customers/{customer.id}/usage").json() == before


@every_report
def test_a_service_key_reports_them(service: Service, customer: Customer, report: Report) -> None:
    backend = service.key(ADMIN_KEY, customer.id)
    assert report.send(backend, report.before(backend)).status_code in (200, 201)


@every_report
def test_a_token_learns_nothing_of_other_customers_by_reporting(service: Service, customer: Customer, report: Report) -> None:
    """The answer is the same whether the id and the customer exist or not."""
    id = report.before(service.key(ADMIN_KEY, customer.id))
    other = service.user(new_id())
    told = {report.send(client, which).text for client in (other, customer.client) for which in (id, "none")}
    assert len(told) == 1


@every_report
def test_the_document_says_that_a_service_key_is_needed_and_the_customer_named(service: Service, report: Report) -> None:
    described = service.anyone.get("/openapi.json").json()["paths"][f"/api/v1/{report.path}"]["post"]
    assert described["security"] == [{"service_key": []}]
    (header,) = (parameter for parameter in described["parameters"] if parameter["name"] == "Tollgate-Customer")
    assert header["required"] is True


def test_a_customers_own_token_does_what_is_its_own(customer: Customer) -> None:
    """It creates, uploads, confirms, starts, saves, takes and reads."""
    id = customer.created()
    customer.upload(id)
    assert customer.confirm(id).status_code == 200
    plan = {"language": "es", "level": "B1", "total_sessions": 8, "sessions_per_week": 2}
    for path, body in (
        ("learning-plans", plan),
        ("practice-sessions/start", {"id": "monday"}),
        ("practice-sessions/save", {"id": "monday", "duration_seconds": 540}),
        ("assessments", {"kind": "speaking"}),
    ):
        assert customer.client.post(f"/api/v1/{path}", json=body).status_code == 201, path
    for path in ("sessions", f"sessions/{id}", "subscription-status", "budget", "budget/can-afford", "conversations"):
        assert customer.client.get(f"/api/v1/{path}").status_code == 200, path
