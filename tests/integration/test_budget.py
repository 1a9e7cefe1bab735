"""The budget over real HTTP: what it shows for every kind of plan, and that its shares add up."""

from datetime import datetime

import pytest

from tests.integration.coaching import Customer
from tests.integration.scanning import Scanner, total
from tests.integration.service import Service, new_id, refused


@pytest.fixture
def scanner(service: Service) -> Scanner:
    return Scanner.new(service)


def published(service: Service, **entitlements: object) -> str:
    plan = new_id("plan")
    body = {
        "name": "Plan",
        "entitlements": {key: {"type": "metered", "limit": limit, "reset": "month"} for key, limit in entitlements.items()},
    }
    assert service.admin.put(f"/api/v1/plans/{plan}", json=body).status_code == 201
    return plan


def test_an_unlimited_plan_shows_so(service: Service) -> None:
    scanner = Scanner.new(service, published(service, ai_runs=None, ai_cost=None))
    scanner.adds_standalone(12.345)
    budget = scanner.budget()
    assert (budget["runs"]["limit"], budget["runs"]["remaining"], budget["runs"]["display"]) == (None, None, "1 / unlimited")
    assert (budget["cost"]["limit"], budget["cost"]["remaining"], budget["cost"]["display"]) == (None, None, "$12.34 / unlimited")
    assert scanner.can_afford(cost=1_000_000, runs=1_000_000).json()["allowed"]


@pytest.mark.parametrize(
    ("cost", "shown"),
    [(0.005, "$0.00"), (0.015, "$0.01"), (0.025, "$0.02"), (0.0250001, "$0.02"), (0.029999999, "$0.02"), (1234.5, "$1234.50")],
)
def test_dollars_are_shown_rounded_down(scanner: Scanner, cost: float, shown: str) -> None:
    scanner.adds_standalone(cost)
    assert scanner.budget()["cost"]["display"] == f"{shown} / $3.00"


def test_a_plan_without_a_budget_limits_runs_only(service: Service) -> None:
    scanner = Scanner.new(service, published(service, ai_runs=2))
    refused(scanner.starts(estimated_cost=0.01), 403, "feature_not_in_plan")
    id = scanner.started(estimated_runs=2)
    refused(scanner.starts(), 403, "run_limit_exceeded")
    assert scanner.adds(id, 0.02, True).json()["step"]["over_limit"]
    assert scanner.budget()["cost"]["display"] == "$0.02 / $0.00"


def test_a_plan_without_operations_has_none_but_books_what_was_done(service: Service) -> None:
    scanner = Scanner.new(service, "pro")
    refused(scanner.starts(estimated_runs=0), 403, "feature_not_in_plan")
    answer = scanner.can_afford(cost=0.01).json()
    assert (answer["allowed"], answer["reason"]) == (False, "feature_not_in_plan")
    assert scanner.adds_standalone(0.02).json()["steps"][0]["over_limit"]
    budget = scanner.budget()
    assert (budget["runs"]["display"], budget["cost"]["display"]) == ("1 / 0", "$0.02 / $0.00")


def test_the_budgets_period_is_that_of_the_cost_in_the_customers_time_zone(service: Service) -> None:
    scanner = Scanner.new(service, time_zone="Pacific/Auckland")
    period = scanner.budget()["period"]
    for edge in (period["start"], period["end"]):
        assert datetime.fromisoformat(edge).hour in (11, 12)  # midnight in Auckland


def test_usage_that_was_booked_without_a_feature_is_part_of_the_budget(scanner: Scanner) -> None:
    usage = {"usage": [{"feature": "ai_cost", "quantity": 0.5}, {"feature": "ai_runs", "quantity": 2, "dimension": "summary"}]}
    assert scanner.service.admin.post(f"/api/v1/customers/{scanner.id}/usage", json=usage).status_code == 200
    scanner.adds_standalone(0.25)
    budget = scanner.budget()
    assert budget["by_feature"] == [{"feature": None, "cost": 0.5, "runs": 0}, {"feature": "summary", "cost": 0.25, "runs": 3}]
    assert (budget["cost"]["used"], budget["runs"]["used"]) == (0.75, 3)


def test_a_breakdown_by_feature_is_bounded_and_still_adds_up(service: Service) -> None:
    scanner = Scanner.new(service, published(service, ai_runs=None, ai_cost=None))
    id = scanner.started()
    for n in range(1, 121):
        assert scanner.adds(id, n / 1000, n % 3 == 0, feature="other" if n == 60 else f"feature-{n}").status_code == 201
    budget = scanner.budget()
    assert (len(budget["by_feature"]), budget["by_feature"][0]["feature"], budget["by_feature"][-1]["feature"]) == (
        100,
        "feature-120",
        "other",
    )
    assert (total(budget["by_feature"], "cost"), total(budget["by_feature"], "runs")) == (total([budget["cost"]], "used"), 40)


def test_a_coach_may_read_a_budget_too(service: Service) -> None:
    coach = Customer.new(service, "pro")
    assert coach.client.get("/api/v1/budget").json()["by_feature"] == []
