"""Practice that arrives without usage is found, and repaired once, in the period in which it happened."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.coaching import days_ago
from tests.integration.in_process import engine_on
from tests.integration.learners import Learner, assessed, practised, told
from tests.integration.service import Database, Service, tollgate

AGREE = "Product records, ledger and counters agree.\n"
LEDGER = """
    SELECT feature, quantity, source, reference, reason, recorded_by, occurred_at FROM usage_record WHERE customer_id = $1
    ORDER BY occurred_at
"""


@pytest.fixture(scope="module")
def service(own_service: Service) -> Service:
    """On a database of this file's own, where all customers agree before."""
    return own_service


def reconcile(service: Service, *arguments: str) -> tuple[int, str]:
    """The command's exit status, and what it prints."""
    command = tollgate("reconcile", *arguments, database_url=service.database.url)
    assert "Traceback" not in command.stderr
    return command.returncode, command.stdout


def test_3_sessions_and_1_assessment_without_usage_become_27_of_30_and_1_of_2(service: Service) -> None:
    learner, other = Learner.new(service), Learner.new(service)
    plan = learner.plan()
    for days in (2.5, 1.5, 0.5):
        learner.practised(days_ago(days), plan=plan)
    learner.was_assessed(days_ago(1))
    told(other.save(), 201)
    told(learner.start("abandoned", plan), 201)
    learner.hold_expires("abandoned")
    assert learner.limits()["sessions_remaining"] == 30

    status, found = reconcile(service)
    assert status == 1
    assert found.count(learner.id) == 2
    assert other.id not in found
    assert learner.limits()["sessions_remaining"] == 30

    status, mended = reconcile(service, "--repair")
    assert status == 1
    assert "4 ledger records written" in mended
    assert reconcile(service, "--repair") == (0, AGREE)
    limits = learner.limits()
    assert (limits["sessions_remaining"], limits["assessments_remaining"]) == (27, 1)
    assert told(learner.get_plan(plan), 200)["completed_sessions"] == 3
    saved = told(learner.save(plan=plan), 201)
    assert (saved["subscription"]["display"], saved["learning_plan"]["completed_sessions"]) == ("26/30", 4)
    assert other.limits()["sessions_remaining"] == 29
    assert reconcile(service) == (0, AGREE)


def test_sessions_of_earlier_periods_are_repaired_in_those_and_leave_the_present_one_alone(service: Service) -> None:
    anchor = days_ago(100)
    learner = Learner.new(service, billing_interval="week", billing_anchor=anchor.isoformat())
    weeks_ago = [anchor + timedelta(weeks=week, hours=1) for week in (0, 0, 5)]
    for saved_at in weeks_ago:
        learner.practised(saved_at)
    told(learner.save("today"), 201)

    status, found = reconcile(service, "--customer", learner.id, "--repair")
    assert status == 1
    assert [line.count(learner.id) for line in found.splitlines()].count(1) == 2, "one line for each period"
    for week in (0, 5):
        assert f"{(anchor + timedelta(weeks=week)).isoformat()} to" in found
    repaired = [row for row in service.database.rows(LEDGER, learner.id) if row["reason"] == "reconcile"]
    assert [row["occurred_at"] for row in repaired] == weeks_ago
    assert {(row["feature"], row["quantity"], row["source"]) for row in repaired} == {("practice_sessions", 1, "learning")}
    assert learner.limits()["sessions_used"] == 1
    assert learner.used("practice_sessions") == 1
    assert reconcile(service) == (0, AGREE)


def test_a_session_and_an_assessment_that_were_booked_are_nothing_to_repair(service: Service) -> None:
    learner = Learner.new(service, "try_learn")
    for id in ("a", "b", "c", "over the limit"):
        told(learner.start(id), 201) if id in ("a", "b") else None
        told(learner.save(id), 201)
    told(learner.assess("a"), 201)
    told(learner.start("started only"), 403)
    assert reconcile(service, "--repair") == (0, AGREE)
    assert learner.used("practice_sessions") == 4


def test_a_ledger_that_lost_its_practice_is_rebuilt_from_the_sessions(service: Service) -> None:
    learner = Learner.new(service)
    for id in ("a", "b", "c"):
        told(learner.save(id), 201)
    told(learner.assess(), 201)
    before = learner.limits()
    for table in ("usage_record", "usage_counter"):
        service.database.rows(f"DELETE FROM {table} WHERE customer_id = $1", learner.id)
    assert learner.limits()["sessions_used"] == 0
    assert reconcile(service, "--repair")[0] == 1
    assert learner.limits() == before
    assert [row["reference"] for row in service.database.rows(LEDGER, learner.id)][:3] == ["a", "b", "c"]


def test_a_refund_is_no_drift(service: Service) -> None:
    learner = Learner.new(service)
    told(learner.save("a"), 201)
    (record,) = service.admin.get(f"/api/v1/customers/{learner.id}/usage/records").json()["items"]
    path = f"/api/v1/customers/{learner.id}/usage/records/{record['id']}/corrections"
    told(service.admin.post(path, json={"quantity": -1, "reason": "refund"}), 201)
    assert reconcile(service, "--repair") == (0, AGREE)
    assert learner.limits()["sessions_used"] == 0


async def test_two_repairs_at_once_write_each_record_once(database_url: str) -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    async with engine_on(database_url, now=now) as one, engine_on(database_url, now=now) as other:
        id = await one.customer(practice_sessions=30, assessments=2)
        await asyncio.to_thread(restore, database_url, id, now)
        drift = await one.drift(id)
        assert {(item.feature, item.where, item.recorded, item.expected) for item in drift} == {
            ("practice_sessions", "ledger", 0, 3),
            ("assessments", "ledger", 0, 1),
        }
        written = await asyncio.gather(*[engine.container.reconcile().repair(drift) for engine in (one, other, one, other)])
        assert sum(written) == 4
        assert [(await other.balance(id, feature)).remaining for feature in ("practice_sessions", "assessments")] == [27, 1]
        assert await one.drift(id) == []


def restore(database_url: str, customer_id: str, now: datetime) -> None:
    """Three sessions and an assessment out of a backup."""
    database = Database(database_url)
    for days in (3, 2, 1):
        practised(database, customer_id, now - timedelta(days=days))
    assessed(database, customer_id, now - timedelta(days=1))
