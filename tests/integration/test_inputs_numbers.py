"""Numbers as callers really send them: with the tails of doubles, too small, too large, and as fractions of a second."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.integration.coaching import Customer
from tests.integration.learners import Learner, told
from tests.integration.scanning import Scanner
from tests.integration.service import ADMIN_KEY, Service, new_id, refused, tollgate

TAIL = 0.1 + 0.2
"""0.30000000000000004"""

SHORT = 0.7 * 3
"""2.0999999999999996"""

TINY = 3.7e-10
AMOUNT = "the amount"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def scanner(service: Service) -> Scanner:
    return Scanner.new(service)


@pytest.fixture
def learner(service: Service) -> Learner:
    return Learner.new(service)


def published(service: Service, feature: str, limit: float) -> str:
    plan = new_id("plan")
    body = {"entitlements": {feature: {"type": "metered", "limit": limit, "reset": "month"}}}
    assert service.admin.put(f"/api/v1/plans/{plan}", json=body).status_code == 201
    return plan


def spent(scanner: Scanner) -> float:
    """What the budget shows as used; the counter and the ledger agree about it."""
    used: float = scanner.budget()["cost"]["used"]
    assert round(Decimal(str(used)) * 1_000_000_000) == scanner.used("ai_cost")
    return used


def sent(customer: Customer, path: str, body: dict[str, Any], amount: object, content_type: str = "application/json") -> httpx.Response:
    """The body with this amount in place of `AMOUNT`: a number, or a literal as it is."""
    literal = amount if isinstance(amount, str) else json.dumps(amount)
    content = json.dumps(body).replace(f'"{AMOUNT}"', literal)
    client = customer.service.key(ADMIN_KEY, customer.id)
    return client.post(f"/api/v1/{path}", content=content, headers={"Content-Type": content_type})


def event(customer: Customer, amount: object, id: str = "") -> httpx.Response:
    body = {"specversion": "1.0", "id": id or new_id("e"), "source": "meter", "type": "ai_cost", "subject": customer.id}
    return sent(customer, "events", body | {"data": {"quantity": AMOUNT}}, amount, "application/cloudevents+json")


def usage(feature: str = "ai_cost") -> dict[str, Any]:
    return {"usage": [{"feature": feature, "quantity": AMOUNT}]}


def consumed(customer: Customer, amount: object) -> httpx.Response:
    return sent(customer, f"customers/{customer.id}/usage", usage(), amount)


def recorded(customer: Customer, amount: object, feature: str = "ai_cost") -> httpx.Response:
    return sent(customer, f"customers/{customer.id}/usage", usage(feature) | {"mode": "record"}, amount)


def held(customer: Customer, amount: object) -> httpx.Response:
    return sent(customer, f"customers/{customer.id}/reservations", usage(), amount)


def checked(customer: Customer, amount: object, feature: str = "ai_cost") -> httpx.Response:
    return sent(customer, f"customers/{customer.id}/usage/check", usage(feature), amount)


def committed(customer: Customer, amount: object) -> httpx.Response:
    id = held(customer, 0.01).json()["id"]
    return sent(customer, f"customers/{customer.id}/reservations/{id}/commit", usage(), amount)


def batched(customer: Customer, amount: object) -> httpx.Response:
    return sent(customer, "usage/batch", {"items": [usage() | {"customer_id": customer.id, "mode": "record"}]}, amount)


def step(customer: Customer, amount: object) -> httpx.Response:
    path = f"operations/{Scanner(customer.id, customer.service).started()}/steps"
    return sent(customer, path, {"feature": "ocr", "cost": AMOUNT, "billable_run": False}, amount)


def standalone(customer: Customer, amount: object) -> httpx.Response:
    return sent(customer, "operations/standalone", {"feature": "ocr", "cost": AMOUNT, "billable_run": False}, amount)


def _detail(result: dict[str, Any]) -> object:
    detail = result["body"].get("detail", {"error": None})
    return "no number" if isinstance(detail, list) else detail["error"]


def error(response: httpx.Response) -> object:
    """What a record was refused for, on its own or in a list; None where it was taken."""
    if not response.is_success:
        detail = response.json()["detail"]
        return "no number" if isinstance(detail, list) else detail["error"]
    rejected = response.json().get("rejected") or [{"error": None}]
    result = response.json().get("results") or [{"status": 200, "body": {}}]
    return rejected[0]["error"] or _detail(result[0])


Record = Callable[[Customer, object], httpx.Response]

WORK: dict[str, Record] = {
    "a step": step,
    "a standalone operation": standalone,
    "a commit": committed,
    "an event": event,
    "recorded usage": recorded,
    "a batch": batched,
}

every_kind = pytest.mark.parametrize("record", WORK.values(), ids=WORK)


# The tails of doubles.


@every_kind
@pytest.mark.parametrize(
    ("cost", "counted"), [(TAIL, 0.3), (SHORT, 2.1), (0.1234567890123456, 0.123456789), (123456.1234567891, 123456.123456789)]
)
def test_finished_work_is_rounded_to_the_resolution(scanner: Scanner, record: Record, cost: float, counted: float) -> None:
    assert error(record(scanner, cost)) is None
    assert spent(scanner) == counted


def test_what_is_to_be_enforced_is_rounded_too(scanner: Scanner) -> None:
    assert consumed(scanner, TAIL).json()["records"][0]["quantity"] == 0.3
    assert held(scanner, TAIL).json()["usage"][0]["quantity"] == 0.3
    assert scanner.starts(estimated_cost=TAIL).status_code == 201
    assert scanner.can_afford(cost=repr(TAIL)).json()["allowed"]
    assert checked(scanner, TAIL).json()["allowed"]
    assert scanner.budget()["cost"]["held"] == 0.6


def test_a_limit_of_a_plan_may_have_the_tail_of_a_double(service: Service) -> None:
    plan = new_id("plan")
    entitlements = {"ai_cost": {"type": "metered", "limit": TAIL}, "max_file_size_mb": {"type": "static", "value": TAIL}}
    put = service.admin.put(f"/api/v1/plans/{plan}", json={"entitlements": entitlements})
    assert put.status_code == 201, put.text
    assert (put.json()["entitlements"]["ai_cost"]["limit"], put.json()["entitlements"]["max_file_size_mb"]["value"]) == (0.3, 0.3)
    again = service.admin.put(f"/api/v1/plans/{plan}", json={"entitlements": put.json()["entitlements"]})
    assert again.status_code == 200, again.text
    assert checked(Customer.new(service, plan), TAIL, "max_file_size_mb").json()["allowed"]


def test_a_limit_that_is_no_multiple_of_the_smallest_part_is_refused(service: Service) -> None:
    entitlements = {"ai_cost": {"type": "metered", "limit": 0.1234567894}}
    refused(service.admin.put(f"/api/v1/plans/{new_id('plan')}", json={"entitlements": entitlements}), 422, "invalid_plan")


def test_a_correction_may_have_the_tail_of_a_double(scanner: Scanner) -> None:
    record = recorded(scanner, 1).json()["records"][0]["id"]
    path = f"customers/{scanner.id}/usage/records/{record}/corrections"
    corrected = sent(scanner, path, {"quantity": AMOUNT, "reason": "refund"}, -TAIL)
    assert (corrected.status_code, spent(scanner)) == (201, 0.7)


def test_a_score_may_have_the_tail_of_a_double(learner: Learner) -> None:
    assert told(learner.assess("a", score=TAIL), 201)["score"] == 0.3
    assert told(learner.assess("a", score=0.3), 200)["score"] == 0.3


# What is smaller than the smallest part.


def test_what_rounds_to_nothing_is_refused_where_it_is_to_be_enforced(scanner: Scanner) -> None:
    refused(consumed(scanner, TINY), 422, "invalid_quantity")
    refused(held(scanner, TINY), 422, "invalid_quantity")
    refused(checked(scanner, TINY), 422, "invalid_quantity")
    refused(scanner.starts(estimated_cost=TINY), 422, "invalid_quantity")
    refused(scanner.can_afford(cost=TINY), 422, "invalid_quantity")
    assert (scanner.starts(estimated_cost=0).status_code, scanner.can_afford(cost=0).status_code) == (201, 200)


@every_kind
@pytest.mark.parametrize("cost", [0, TINY, 1e-300])
def test_finished_work_that_rounds_to_nothing_is_taken(scanner: Scanner, record: Record, cost: float) -> None:
    assert error(record(scanner, cost)) is None
    assert scanner.budget()["cost"]["used"] == 0


def test_an_event_of_nothing_is_known_when_it_comes_again(scanner: Scanner) -> None:
    answers = [event(scanner, 0, "e").json() for _ in range(2)]
    assert [(answer["accepted"], answer["duplicates"]) for answer in answers] == [(1, 0), (0, 1)]


def test_steps_that_are_smaller_than_a_smallest_part_add_up(scanner: Scanner) -> None:
    id = scanner.started()
    for _ in range(199):
        assert scanner.adds(id, TINY).status_code == 201
    last = scanner.adds(id, TINY).json()
    assert (last["step"]["cost"], last["total_cost"], scanner.operation(id)["total_cost"]) == (TINY, 7.4e-8, 7.4e-8)
    assert spent(scanner) == 7.4e-8
    assert scanner.completes(id).json()["total_cost"] == 7.4e-8
    assert spent(scanner) == 7.4e-8


@pytest.mark.parametrize("end", [Scanner.completes, Scanner.fails])
@pytest.mark.parametrize(
    ("costs", "while_running", "in_the_end"),
    [
        ([TINY] * 2, 0, 1e-9),
        ([TINY] * 3, 1e-9, 1e-9),
        ([TINY] * 5, 1e-9, 2e-9),
        ([5e-10], 0, 0),
        ([1.5e-9], 1e-9, 2e-9),
        ([2.5e-9], 2e-9, 2e-9),
        ([0.1, 4e-10, 7e-10], 0.100000001, 0.100000001),
        ([0.1] * 3, 0.3, 0.3),
        ([SHORT], 2.1, 2.1),
    ],
)
def test_a_sum_is_booked_as_it_reaches_a_smallest_part_and_rounded_once_in_the_end(
    scanner: Scanner, end: Callable[[Scanner, str], httpx.Response], costs: list[float], while_running: float, in_the_end: float
) -> None:
    id = scanner.started()
    for cost in costs:
        assert scanner.adds(id, cost).status_code == 201
    assert spent(scanner) == while_running
    for _ in range(2):
        assert end(scanner, id).status_code == 200
        assert spent(scanner) == in_the_end
    assert sum(share["cost"] for share in scanner.budget()["by_feature"]) == in_the_end


def test_sums_of_every_kind_agree_with_the_ledger(service: Service) -> None:
    scanner = Scanner.new(service, published(service, "ai_cost", 1_000))
    for costs in ([TINY] * 2, [TINY] * 5, [5e-10], [1.5e-9, 0.1], [SHORT, TINY], [TAIL] * 3):
        for end in (Scanner.completes, Scanner.fails, lambda *_: None):
            id = scanner.started(estimated_runs=0)
            for cost in costs:
                assert scanner.adds(id, cost).status_code == 201
            end(scanner, id)
        assert scanner.adds_standalone(costs[0]).status_code == 201
    reconciled = tollgate("reconcile", "--customer", scanner.id, database_url=scanner.service.database.url)
    assert reconciled.returncode == 0, reconciled.stdout


def test_what_finishing_booked_is_booked_again_where_it_is_missing(scanner: Scanner) -> None:
    id = scanner.started()
    scanner.adds(id, 1.7e-9, feature="ocr")
    scanner.completes(id)
    scanner.service.database.rows("DELETE FROM usage_record WHERE customer_id = $1", scanner.id)
    mended = tollgate("reconcile", "--repair", "--customer", scanner.id, database_url=scanner.service.database.url)
    assert (mended.returncode, "2 ledger records written" in mended.stdout) == (1, True)
    assert spent(scanner) == 2e-9
    assert scanner.budget()["by_feature"] == [{"feature": "ocr", "cost": 2e-9, "runs": 0}]


@pytest.mark.parametrize(("cost", "counted"), [(5e-10, 0), (6e-10, 1e-9), (1.5e-9, 2e-9), (2.5e-9, 2e-9)])
def test_a_standalone_operation_is_rounded_once(scanner: Scanner, cost: float, counted: float) -> None:
    answer = scanner.adds_standalone(cost).json()
    assert (answer["total_cost"], answer["steps"][0]["cost"], spent(scanner)) == (cost, cost, counted)


def test_a_step_is_the_same_where_its_exact_cost_is(scanner: Scanner) -> None:
    id = scanner.started()
    assert [scanner.adds(id, TINY, id="step").status_code for _ in range(2)] == [201, 200]
    refused(scanner.adds(id, 4e-10, id="step"), 409, "step_conflict")
    assert [scanner.adds_standalone(TINY, id="one").status_code for _ in range(2)] == [201, 200]
    refused(scanner.adds_standalone(4e-10, id="one"), 409, "step_conflict")


# What is too large, or no number, costs nothing.


@every_kind
@pytest.mark.parametrize("literal", ["1e999999999", "-1e999999999", "9" * 400, "-" + "9" * 400, "NaN", "Infinity", "-Infinity", "-1e-30"])
def test_what_is_no_amount_is_refused_at_once(scanner: Scanner, record: Record, literal: str) -> None:
    response = record(scanner, literal)
    assert error(response) in ("invalid_quantity", "no number", "invalid_event"), response.text
    assert scanner.budget()["cost"]["used"] == 0
    assert response.elapsed.total_seconds() < 2


# Seconds.


@pytest.mark.parametrize(("sent", "kept"), [(1830.4, 1830), (1830.5, 1830), (1831.5, 1832), (0.4, 0), (604_800.4, 604_800), (60.0, 60)])
def test_a_duration_is_rounded_to_the_second(service: Service, learner: Learner, sent: float, kept: int) -> None:
    customer = Customer.new(service, "pro")
    session = customer.created()
    completed = service.key(ADMIN_KEY, customer.id).post(f"/api/v1/sessions/{session}/complete", json={"duration_seconds": sent})
    assert (completed.status_code, completed.json()["duration_seconds"]) == (200, kept)
    assert customer.used("minutes") == kept
    saved = told(learner.save("a", duration_seconds=sent), 201)["practice_session"]
    assert saved["duration_seconds"] == kept
    assert learner.save("a", duration_seconds=kept).status_code == 200


@pytest.mark.parametrize("literal", ["-0.4", "-1", "604801", "1e400", "9" * 400, "-1e400", "NaN", '"9"', "true", "null"])
def test_what_is_no_duration_is_refused(learner: Learner, literal: str) -> None:
    response = learner.client.post("/api/v1/practice-sessions/save", content=f'{{"duration_seconds": {literal}}}', headers=JSON)
    assert response.status_code == 422, response.text
    assert learner.limits()["sessions_used"] == 0


# What is shown is rounded down: full is full.


@pytest.mark.parametrize(
    ("limit", "used", "percent"),
    [(10_000, 9_996, 99.9), (10_000, 10_000, 100), (10_000, 10_004, 100), (10_000, 10_010, 100.1), (0, 0, 0), (0, 1, 100), (3, 2, 66.6)],
)
def test_a_percentage_is_rounded_down(service: Service, limit: int, used: int, percent: float) -> None:
    customer = Customer.new(service, published(service, "sessions", limit))
    if used:
        assert recorded(customer, used, feature="sessions").status_code == 200
    answer = service.admin.get(f"/api/v1/customers/{customer.id}/usage").json()["features"]["sessions"]
    assert answer["percent"] == percent


@pytest.mark.parametrize(
    ("limit", "used", "shown"),
    [(3, 2.996, "$2.99 / $3.00"), (3, 3, "$3.00 / $3.00"), (2.999, 0.009, "$0.00 / $2.99"), (3, 1234.567, "$1234.56 / $3.00")],
)
def test_dollars_are_rounded_down(service: Service, limit: float, used: float, shown: str) -> None:
    scanner = Scanner.new(service, published(service, "ai_cost", limit))
    scanner.adds_standalone(used, billable_run=False)
    assert scanner.budget()["cost"]["display"] == shown


def test_progress_is_rounded_down(learner: Learner) -> None:
    plan = learner.plan(total_sessions=3)
    for _ in range(2):
        progress = told(learner.save(plan=plan), 201)["learning_plan"]
    assert progress["progress_percentage"] == 66.6
