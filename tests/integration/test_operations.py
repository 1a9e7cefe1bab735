"""AI operations over real HTTP: every step counts against the budget, and the budget says no before the work is done."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from urllib.parse import quote

import httpx
import pytest

from tests.integration.scanning import Scanner
from tests.integration.service import ADMIN_KEY, Service, new_id, refused

NANO = 1_000_000_000


@pytest.fixture
def scanner(service: Service) -> Scanner:
    return Scanner.new(service)


def test_the_business_card_scan(scanner: Scanner) -> None:
    started = scanner.starts("card", "business_card_scan", estimated_cost=0.002, estimated_runs=1)
    assert started.status_code == 201
    assert started.headers["Location"] == "/api/v1/operations/card"
    body = started.json()
    assert {name: body[name] for name in ("id", "feature", "status", "total_cost", "total_runs", "steps")} == {
        "id": "card",
        "feature": "business_card_scan",
        "status": "running",
        "total_cost": 0,
        "total_runs": 0,
        "steps": [],
    }
    ocr = scanner.adds("card", 0.0015, False, feature="business_card_scan_ocr")
    assert (ocr.status_code, ocr.json()["total_cost"], ocr.json()["total_runs"]) == (201, 0.0015, 0)
    assert scanner.budget()["cost"]["used"] == 0.0015
    ai = scanner.adds("card", 0.000108, True, feature="business_card_scan_ai")
    assert (ai.json()["total_cost"], ai.json()["total_runs"], ai.json()["step"]["over_limit"]) == (0.001608, 1, False)
    completed = scanner.completes("card")
    assert (completed.status_code, completed.json()["status"]) == (200, "completed")
    assert scanner.operation("card") == completed.json()
    assert [(step["feature"], step["cost"], step["billable_run"]) for step in completed.json()["steps"]] == [
        ("business_card_scan_ocr", 0.0015, False),
        ("business_card_scan_ai", 0.000108, True),
    ]
    budget = scanner.budget()
    assert (budget["plan"], budget["runs"]["display"], budget["cost"]["display"]) == ("premium", "1 / 30", "$0.00 / $3.00")
    assert (budget["runs"]["used"], budget["runs"]["held"], budget["runs"]["remaining"]) == (1, 0, 29)
    assert (budget["cost"]["used"], budget["cost"]["held"], budget["cost"]["remaining"]) == (0.001608, 0, 2.998392)
    assert budget["by_feature"] == [
        {"feature": "business_card_scan_ocr", "cost": 0.0015, "runs": 0},
        {"feature": "business_card_scan_ai", "cost": 0.000108, "runs": 1},
    ]
    assert (scanner.used("ai_runs"), scanner.used("ai_cost")) == (1, 1_608_000)


def test_a_preflight_is_refused_at_the_edge_of_the_budget(scanner: Scanner) -> None:
    assert scanner.adds_standalone(2.981608).status_code == 201
    for cost, allowed, reason in ((0.018392, True, None), (0.018392001, False, "budget_exceeded"), (0.02, False, "budget_exceeded")):
        answer = scanner.can_afford(cost=cost, runs=1).json()
        assert (answer["allowed"], answer["reason"]) == (allowed, reason)
        assert (answer["cost"]["display"], answer["cost"]["remaining"]) == ("$2.98 / $3.00", 0.018392)
        assert answer["runs"]["display"] == "1 / 30"
    detail = refused(scanner.starts(estimated_cost=0.02), 402, "budget_exceeded")
    facts = {name: detail[name] for name in ("plan", "feature", "current_usage", "held", "requested", "limit", "remaining")}
    assert facts == {
        "plan": "premium",
        "feature": "ai_cost",
        "current_usage": 2.981608,
        "held": 0,
        "requested": 0.02,
        "limit": 3,
        "remaining": 0.018392,
    }
    assert datetime.fromisoformat(detail["resets_at"]).day == 1


def test_runs_are_refused_when_all_are_used_or_held(service: Service) -> None:
    scanner = Scanner.new(service, "basic")
    scanner.started("big", estimated_runs=4)
    assert scanner.adds_standalone(0).status_code == 201
    detail = refused(scanner.starts(estimated_runs=1), 403, "run_limit_exceeded")
    assert (detail["current_usage"], detail["held"], detail["remaining"]) == (1, 4, 0)
    answer = scanner.can_afford(cost=0.1).json()
    assert (answer["allowed"], answer["reason"], answer["runs"]["remaining"]) == (False, "run_limit_exceeded", 0)
    assert scanner.fails("big").status_code == 200
    assert scanner.can_afford(cost=0.1).json()["allowed"]
    scanner.started(estimated_runs=4)


def test_work_that_is_done_is_booked_beyond_the_limit(service: Service) -> None:
    scanner = Scanner.new(service, "basic")
    id = scanner.started(estimated_cost=0.5)
    step = scanner.adds(id, 0.75, True).json()["step"]
    assert step["over_limit"]
    budget = scanner.budget()
    assert (budget["cost"]["display"], budget["cost"]["remaining"]) == ("$0.75 / $0.50", 0)
    refused(scanner.starts(estimated_cost=0, estimated_runs=0), 402, "budget_exceeded")
    assert scanner.can_afford(cost=0, runs=0).json()["reason"] == "budget_exceeded"
    assert scanner.adds(id, 0.01).status_code == 201


def test_estimates_have_defaults(scanner: Scanner) -> None:
    scanner.started()
    budget = scanner.budget()
    assert (budget["runs"]["held"], budget["cost"]["held"]) == (1, 0)
    assert scanner.can_afford().json()["allowed"]


def test_a_standalone_operation_is_one_step_and_complete(scanner: Scanner) -> None:
    response = scanner.adds_standalone(0.02, feature="summary", id="mine")
    body = response.json()
    assert (response.status_code, response.headers["Location"]) == (201, "/api/v1/operations/mine")
    assert (body["status"], body["total_cost"], body["total_runs"], len(body["steps"])) == ("completed", 0.02, 1, 1)
    assert scanner.operation("mine") == body
    again = scanner.adds_standalone(0.02, feature="summary", id="mine")
    assert (again.status_code, again.json()) == (200, body)
    refused(scanner.adds_standalone(0.03, feature="summary", id="mine"), 409, "step_conflict")
    refused(scanner.adds_standalone(0.02, feature="other", id="mine"), 409, "operation_conflict")
    assert scanner.used("ai_cost") == NANO // 50


def test_steps_and_operations_are_idempotent_by_their_ids(scanner: Scanner) -> None:
    first = scanner.starts("op", estimated_cost=0.5)
    assert scanner.starts("op", estimated_cost=0.50).json() == first.json()
    step = scanner.adds("op", 0.1, True, id="ocr").json()
    again = scanner.adds("op", 0.1, True, id="ocr")
    assert (again.status_code, again.json()) == (200, step)
    refused(scanner.adds("op", 0.2, True, id="ocr"), 409, "step_conflict")
    refused(scanner.starts("op", estimated_cost=0.6), 409, "operation_conflict")
    scanner.completes("op")
    late = scanner.adds("op", 0.1, True, id="ocr")
    assert (late.status_code, late.json()["step"], late.json()["status"]) == (200, step["step"], "completed")
    refused(scanner.adds("op", 0.1, True, id="ai"), 409, "invalid_operation_state")
    again = scanner.starts("op", estimated_cost=0.5)
    assert (again.status_code, again.json()) == (200, scanner.operation("op"))
    assert (scanner.used("ai_runs"), scanner.used("ai_cost")) == (1, NANO // 10)


@pytest.mark.parametrize("what", ["start", "step", "standalone"])
def test_a_repeat_under_the_same_key_gets_the_stored_answer(scanner: Scanner, what: str) -> None:
    key, id = new_id("key"), scanner.started()
    calls: dict[str, Callable[[], httpx.Response]] = {
        "start": partial(scanner.starts, key=key, estimated_cost=0.1),
        "step": partial(scanner.adds, id, 0.1, True, key=key),
        "standalone": partial(scanner.adds_standalone, 0.1, True, key=key),
    }
    first, again = calls[what](), calls[what]()
    assert (first.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert again.content == first.content
    assert again.headers.get("Location") == first.headers.get("Location")
    budget = scanner.budget()
    assert budget["cost"]["used"] + budget["cost"]["held"] == 0.1


@pytest.mark.parametrize(("end", "other"), [(Scanner.completes, Scanner.fails), (Scanner.fails, Scanner.completes)])
def test_an_operation_ends_once(
    scanner: Scanner, end: Callable[[Scanner, str], httpx.Response], other: Callable[[Scanner, str], httpx.Response]
) -> None:
    id = scanner.started(estimated_cost=1, estimated_runs=5)
    scanner.adds(id, 0.25, True)
    first = end(scanner, id)
    assert (first.status_code, end(scanner, id).json()) == (200, first.json())
    assert refused(other(scanner, id), 409, "invalid_operation_state")["status"] == first.json()["status"]
    budget = scanner.budget()
    assert (budget["cost"]["used"], budget["cost"]["held"], budget["runs"]["held"]) == (0.25, 0, 0)


@pytest.mark.parametrize("id", ["a/b", "steps", "x/steps", "standalone", "can't + won't %2F?#", "Größe 漢字", "x" * 255])
def test_ids_are_the_callers_to_choose(scanner: Scanner, id: str) -> None:
    response = scanner.starts(id)
    where = f"/api/v1/operations/{quote(id, safe='')}"
    assert (response.status_code, response.headers["Location"], response.json()["id"]) == (201, where, id)
    assert scanner.backend.post(f"{where}/steps", json={"id": id, "feature": "ocr", "cost": 0.1, "billable_run": False}).status_code == 201
    assert scanner.backend.post(f"{where}/complete").json()["total_cost"] == 0.1
    assert scanner.client.get(where).json()["steps"][0]["id"] == id


@pytest.mark.parametrize("id", ["", "x" * 256, "line\nbreak", "\x00", 7])
def test_an_id_has_1_to_255_printable_characters(scanner: Scanner, id: object) -> None:
    body = {"id": id, "feature": "scan"}
    assert scanner.backend.post("/api/v1/operations", json=body).status_code == 422
    assert scanner.backend.post("/api/v1/operations/standalone", json=body | {"cost": 0, "billable_run": True}).status_code == 422


def test_operations_are_their_customers_own(service: Service, scanner: Scanner) -> None:
    other = Scanner.new(service)
    id = scanner.started()
    assert other.client.get(f"/api/v1/operations/{id}").status_code == 404
    for call in (partial(other.adds, id), partial(other.completes, id), partial(other.fails, id)):
        refused(call(), 404, "operation_not_found")
    other.started(id)
    assert other.adds(id, 0.5).json()["total_cost"] == 0.5
    assert scanner.operation(id)["total_cost"] == 0
    assert service.key(ADMIN_KEY, scanner.id).get(f"/api/v1/operations/{id}").json() == scanner.operation(id)


def test_only_customers_have_operations_and_budgets(service: Service) -> None:
    stranger = Scanner(new_id(), service)
    for call in (stranger.starts, stranger.adds_standalone, stranger.can_afford, partial(stranger.client.get, "/api/v1/budget")):
        refused(call(), 404, "customer_not_found")


# More digits than fit, and what is no number.


@pytest.mark.parametrize("cost", ["-0.01", "-1e-12", "NaN", "Infinity", "-Infinity", "1e400", "1e15", '"1"', "true", "null"])
def test_a_cost_that_is_no_amount_is_refused(scanner: Scanner, cost: str) -> None:
    id, headers = scanner.started(estimated_runs=0), {"Content-Type": "application/json"}
    for path, body in (
        (f"operations/{id}/steps", f'{{"feature": "ocr", "cost": {cost}, "billable_run": true}}'),
        ("operations/standalone", f'{{"feature": "ocr", "cost": {cost}, "billable_run": true}}'),
        ("operations", f'{{"feature": "ocr", "estimated_cost": {cost}}}'),
    ):
        response = scanner.backend.post(f"/api/v1/{path}", content=body, headers=headers)
        assert response.status_code == 422, (path, response.text)
    budget = scanner.budget()
    assert (budget["cost"]["used"], budget["cost"]["held"], budget["runs"]["used"], budget["runs"]["held"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("cost", ["-0.01", "3.7e-10", "NaN", "inf", "-inf", "1e400", "1_0", "", "٣", "1e99999999999999999999", "x"])
def test_a_preflight_of_no_amount_is_refused(scanner: Scanner, cost: str) -> None:
    assert scanner.can_afford(cost=cost).status_code == 422


@pytest.mark.parametrize("runs", ["-1", "1.5", "x", "1000000000000"])
def test_runs_are_whole_numbers(scanner: Scanner, runs: str) -> None:
    assert scanner.can_afford(runs=runs).status_code == 422


@pytest.mark.parametrize(
    "fields",
    [
        {"estimated_runs": -1},
        {"estimated_runs": 1.5},
        {"estimated_runs": "1"},
        {"feature": ""},
        {"feature": "x" * 65},
        {"feature": "\x00"},
        {"what": 1},
    ],
)
def test_a_start_that_makes_no_sense_is_refused(scanner: Scanner, fields: dict[str, object]) -> None:
    assert scanner.starts(**fields).status_code == 422  # type: ignore[arg-type]


def test_the_ledger_names_each_step(scanner: Scanner) -> None:
    scanner.started("scan")
    scanner.adds("scan", 0.1, True, feature="ocr")
    records = scanner.service.admin.get(f"/api/v1/customers/{scanner.id}/usage/records").json()["items"]
    assert {(item["feature"], item["quantity"], item["source"], item["reference"], item["dimension"]) for item in records} == {
        ("ai_runs", 1, "operations", "scan#1", "ocr"),
        ("ai_cost", 0.1, "operations", "scan#1", "ocr"),
    }
