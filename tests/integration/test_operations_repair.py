"""Steps, ledger and counters are compared and repaired, each step in the month in which it happened."""

from datetime import datetime

import pytest

from tests.integration.coaching import days_ago
from tests.integration.scanning import Scanner, total
from tests.integration.service import Service, tollgate

NANO = 1_000_000_000
AGREE = "Product records, ledger and counters agree."


def reconcile(scanner: Scanner, *arguments: str) -> tuple[int, str]:
    """The command's exit status, and what it prints, for this customer."""
    command = tollgate("reconcile", "--customer", scanner.id, *arguments, database_url=scanner.service.database.url)
    assert "Traceback" not in command.stderr
    return command.returncode, command.stdout


def step(scanner: Scanner, position: int, cost: int, billable_run: bool, occurred_at: datetime, operation: str = "card") -> None:
    """Writes a step behind the service's back, as code that forgot to book it would."""
    scanner.service.database.rows(
        "INSERT INTO ai_operation_step VALUES ($1, $2, $3, $4, 'scan', $5, $6, $7, false)",
        *(scanner.id, operation, f"step-{position}", position, cost, billable_run, occurred_at),
    )


@pytest.fixture
def scanner(service: Service) -> Scanner:
    """With an operation that has been running for long, and has had one step: a run at $0.25."""
    scanner = Scanner.new(service)
    scanner.started("card")
    assert scanner.adds("card", 0.25, True, feature="scan").status_code == 201
    return scanner


def test_operations_as_the_service_books_them_agree(scanner: Scanner) -> None:
    scanner.adds("card", 0, False)
    scanner.adds("card", 0, True)
    scanner.adds("card", 0.0000005, False)
    scanner.adds_standalone(4)
    scanner.adds_standalone(0, id="card#1")  # its step's reference is not that of another operation's
    scanner.completes("card")
    status, said = reconcile(scanner)
    assert (status, said.strip()) == (0, AGREE)


def test_steps_that_were_never_booked_are_found_and_booked_once(scanner: Scanner) -> None:
    step(scanner, 2, NANO // 4, False, days_ago(0))
    step(scanner, 3, 0, True, days_ago(0))
    step(scanner, 4, 0, False, days_ago(0))
    status, found = reconcile(scanner)
    assert (status, found.count(" ledger "), found.count(" counter ")) == (1, 2, 0)
    status, mended = reconcile(scanner, "--repair")
    assert (status, "2 ledger records written" in mended) == (1, True)
    assert reconcile(scanner, "--repair")[0] == 0
    assert (scanner.used("ai_cost"), scanner.used("ai_runs")) == (NANO // 2, 2)
    budget = scanner.budget()
    assert (budget["by_feature"], budget["runs"]["display"]) == ([{"feature": "scan", "cost": 0.5, "runs": 2}], "2 / 30")
    records = scanner.service.database.rows(
        "SELECT feature, source, reference, dimension FROM usage_record WHERE customer_id = $1 AND reason = 'reconcile' ORDER BY 1, 3",
        scanner.id,
    )
    assert [tuple(record.values()) for record in records] == [
        ("ai_cost", "operations", "card#2", "scan"),
        ("ai_runs", "operations", "card#3", "scan"),
    ]


def test_a_step_of_an_earlier_month_is_booked_in_that_month(scanner: Scanner) -> None:
    step(scanner, 2, NANO, True, days_ago(100))
    status, found = reconcile(scanner, "--repair")
    assert (status, "2 ledger records written" in found) == (1, True)
    assert scanner.used("ai_cost") == NANO // 4
    assert reconcile(scanner)[0] == 0


def test_a_step_that_is_booked_too_high_is_corrected(scanner: Scanner) -> None:
    scanner.service.database.rows("UPDATE ai_operation_step SET cost = $2 WHERE customer_id = $1", scanner.id, NANO // 10)
    assert reconcile(scanner, "--repair")[0] == 1
    assert scanner.used("ai_cost") == NANO // 10
    assert total(scanner.budget()["by_feature"], "cost") * 10 == 1


def test_a_counter_that_drifted_is_rebuilt(scanner: Scanner) -> None:
    scanner.service.database.rows("UPDATE usage_counter SET used = used + 7 WHERE customer_id = $1 AND feature = 'ai_cost'", scanner.id)
    status, found = reconcile(scanner, "--repair")
    assert (status, "Repaired: 1 counter rebuilt" in found) == (1, True)
    assert scanner.used("ai_cost") == NANO // 4
