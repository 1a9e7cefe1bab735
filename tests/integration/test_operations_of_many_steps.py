"""An operation may have any number of steps: its answer is bounded, its totals are kept, and its steps come a page at a time."""

from typing import Any

import pytest

from tests.integration.scanning import Scanner
from tests.integration.service import Service, refused

SHOWN = 200
MANY = 450


@pytest.fixture(scope="module")
def scanner(service: Service) -> Scanner:
    scanner = Scanner.new(service)
    scanner.starts("card", "scan", estimated_cost=0.002, estimated_runs=1).raise_for_status()
    for number in range(MANY - 1):
        scanner.adds("card", 0.0000000001, False, feature=f"step {number}").raise_for_status()
    scanner.adds("card", 0.0000000009, True, feature="the last one").raise_for_status()
    return scanner


def steps(scanner: Scanner, limit: int, cursor: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = scanner.client.get("/api/v1/operations/card/steps", params={"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
        found += page["items"]
        assert len(page["items"]) <= limit
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_an_operation_shows_its_first_steps_and_where_the_others_are(scanner: Scanner) -> None:
    card = scanner.operation("card")

    assert (len(card["steps"]), card["total_runs"]) == (SHOWN, 1)
    assert card["total_cost"] == pytest.approx((MANY - 1) * 1e-10 + 9e-10, abs=1e-15)
    following = steps(scanner, 100, card["next_cursor"])
    assert [step["feature"] for step in (*card["steps"], *following)] == [*(f"step {n}" for n in range(MANY - 1)), "the last one"]


@pytest.mark.parametrize("limit", [200, 150, 7])
def test_all_steps_come_once_and_in_order(scanner: Scanner, limit: int) -> None:
    assert [step["feature"] for step in steps(scanner, limit)] == [*(f"step {n}" for n in range(MANY - 1)), "the last one"]


def test_an_operation_of_a_few_steps_has_no_cursor(service: Service) -> None:
    scanner = Scanner.new(service)
    scanner.starts("few", "scan").raise_for_status()
    assert scanner.operation("few")["next_cursor"] is None
    scanner.adds("few", 0.001, True).raise_for_status()
    assert (len(scanner.operation("few")["steps"]), scanner.operation("few")["next_cursor"]) == (1, None)


def test_steps_of_what_is_no_operation_and_cursors_that_were_not_handed_out(scanner: Scanner) -> None:
    refused(scanner.client.get("/api/v1/operations/nothing/steps"), 404, "operation_not_found")
    for cursor in ("x", "MjAyNi0xMS0wMVQwMDowMDowMCswMDowMHwtMQ", "MjAyNi0xMS0wMVQwMDowMDowMCswMDowMHw5OTk5OTk5OTk5OTk"):
        assert scanner.client.get("/api/v1/operations/card/steps", params={"cursor": cursor}).status_code == 422


def test_what_is_stored_of_finishing_it_is_bounded(scanner: Scanner) -> None:
    first = scanner.backend.post("/api/v1/operations/card/complete", headers={"Idempotency-Key": "done"})
    again = scanner.backend.post("/api/v1/operations/card/complete", headers={"Idempotency-Key": "done"})

    assert (first.status_code, first.json()["status"], len(first.json()["steps"])) == (200, "completed", SHOWN)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.content == first.content
    # 45.8 nano-dollars, rounded once; what the steps had not booked of it belongs to the last one.
    assert (scanner.used("ai_runs"), scanner.used("ai_cost")) == (1, 46)
    dimensions = scanner.service.database.rows(
        "SELECT dimension FROM usage_record WHERE customer_id = $1 AND feature = 'ai_cost' AND reference LIKE '%#end'", scanner.id
    )
    assert dimensions == [{"dimension": "the last one"}]
