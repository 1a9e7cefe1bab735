"""Operations over several processes at once: every step counts to the nano-dollar, and nothing is held twice."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial

from tests.integration.coaching import at_once
from tests.integration.scanning import Scanner, total
from tests.integration.service import Service

NANO = 1_000_000_000


def test_50_steps_at_once_over_two_processes_add_up_to_the_nano_dollar(services: tuple[Service, Service]) -> None:
    scanner = Scanner.new(services[0])
    id = scanner.started(estimated_cost=0.000000100)
    costs = [Decimal(n * n + 1).scaleb(-9) for n in range(50)]
    calls = [partial(scanner.at(services[n % 2]).adds, id, float(cost), n % 5 == 0) for n, cost in enumerate(costs)]
    assert {response.status_code for response in at_once(*calls)} == {201}
    operation = scanner.operation(id)
    assert (Decimal(str(operation["total_cost"])), operation["total_runs"], len(operation["steps"])) == (sum(costs), 10, 50)
    assert (scanner.used("ai_cost"), scanner.used("ai_runs")) == (int(sum(costs) * NANO), 10)
    assert total(operation["steps"], "cost") == total(scanner.budget()["by_feature"], "cost") == sum(costs)


def test_the_same_step_at_once_is_booked_once(services: tuple[Service, Service]) -> None:
    scanner = Scanner.new(services[0])
    id = scanner.started()
    responses = at_once(*[partial(scanner.at(services[n % 2]).adds, id, 0.01, True, id="ocr") for n in range(20)])
    assert Counter(response.status_code for response in responses) == {201: 1, 200: 19}
    assert (scanner.used("ai_cost"), scanner.used("ai_runs")) == (NANO // 100, 1)


def test_the_same_operation_started_at_once_is_one_and_holds_once(services: tuple[Service, Service]) -> None:
    scanner = Scanner.new(services[0])
    responses = at_once(*[partial(scanner.at(services[n % 2]).starts, "scan", estimated_cost=0.3) for n in range(20)])
    assert Counter(response.status_code for response in responses) == {201: 1, 200: 19}
    budget = scanner.budget()
    assert (budget["cost"]["held"], budget["runs"]["held"]) == (0.3, 1)


def test_operations_started_at_once_never_hold_more_than_there_is(services: tuple[Service, Service]) -> None:
    scanner = Scanner.new(services[0])
    responses = at_once(*[partial(scanner.at(services[n % 2]).starts, estimated_cost=0.2) for n in range(30)])
    assert Counter(response.status_code for response in responses) == {201: 15, 402: 15}
    assert scanner.budget()["cost"]["remaining"] == 0


def test_an_operation_that_is_finished_while_steps_arrive_has_just_those_that_were_answered(services: tuple[Service, Service]) -> None:
    scanner = Scanner.new(services[0])
    for _ in range(5):
        id = scanner.started(estimated_cost=0.001)
        steps = [partial(scanner.at(services[n % 2]).adds, id, 0.0001, True) for n in range(10)]
        *added, finished = at_once(*steps, partial(scanner.at(services[1]).completes, id))
        assert finished.status_code == 200
        assert {response.status_code for response in added} <= {201, 409}
        operation = scanner.operation(id)
        assert len(operation["steps"]) == operation["total_runs"] == sum(response.status_code == 201 for response in added)
    assert scanner.budget()["cost"]["held"] == 0


def test_a_budget_read_while_steps_are_booked_always_adds_up(services: tuple[Service, Service]) -> None:
    scanner = Scanner.new(services[0])
    ids = [scanner.started(estimated_cost=0.3, estimated_runs=5) for _ in range(4)]
    writes = [
        partial(scanner.at(services[n % 2]).adds, ids[n % 4], (1_000_000 + n) / NANO, n % 2 == 0, feature=f"f{n % 7}") for n in range(120)
    ]
    with ThreadPoolExecutor(8) as pool:
        written = [pool.submit(write) for write in writes]
        seen = 0
        while not all(write.done() for write in written):
            budget, operation = scanner.budget(), scanner.at(services[1]).operation(ids[0])
            assert total(budget["by_feature"], "cost") == Decimal(str(budget["cost"]["used"]))
            assert total(budget["by_feature"], "runs") == budget["runs"]["used"]
            used, held, remaining = (Decimal(str(budget["cost"][name])) for name in ("used", "held", "remaining"))
            # Work within the estimates takes from the holds what it adds to the usage: what is left for others does not move.
            assert (used + held, remaining) == (Decimal("1.2"), Decimal("1.8"))
            assert total(operation["steps"], "cost") == Decimal(str(operation["total_cost"]))
            seen += 1
    assert {write.result().status_code for write in written} == {201}
    assert seen > 5
