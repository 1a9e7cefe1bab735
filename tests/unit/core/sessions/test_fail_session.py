"""A session that could not be transcribed is failed for good and books no minutes; it stays counted, unless it is given back."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from core.metering.correct_record import CorrectRecord, CorrectRecordCommand
from core.metering.ledger import Origin, UsageRecord
from core.metering.use_case import execute_one
from core.sessions.session import InvalidSessionState, SessionNotFound, SessionStatus
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, PERIOD, PRO
from tests.unit.fakes.sessions import Coach, SessionStore


@pytest.fixture
def coach() -> Coach:
    return Coach()


async def test_a_failed_session_keeps_its_reason_and_stays_counted(coach: Coach) -> None:
    session = await coach.creates()
    failed = await coach.fails(session, "silence")
    assert failed == replace(session, status=SessionStatus.FAILED, failure_reason="silence", finished_at=NOW)
    assert coach.session(session) == failed
    assert (coach.used("sessions"), coach.used("minutes")) == (1, 0)


async def test_failing_again_changes_nothing_whatever_the_reason(coach: Coach) -> None:
    session = await coach.creates()
    failed = await coach.fails(session, "silence")
    coach.now += timedelta(hours=1)
    assert await coach.fails(session, "noise") == failed
    assert coach.session(session) == failed


async def test_a_completed_session_cannot_fail(coach: Coach) -> None:
    session = await coach.creates()
    completed = await coach.completes(session, 60)
    with pytest.raises(InvalidSessionState):
        await coach.fails(session)
    assert coach.session(session) == completed


async def test_a_session_can_fail_after_its_upload_was_confirmed(coach: Coach) -> None:
    session = await coach.creates()
    await coach.attaches(session)
    await coach.confirms(session)
    assert (await coach.fails(session)).status is SessionStatus.FAILED


async def test_only_the_customers_own_sessions_can_fail() -> None:
    store = SessionStore([PRO], [ACME, replace(ACME, id="globex")])
    acme, globex = Coach(store), Coach(store, replace(ACME, id="globex"))
    session = await acme.creates()
    with pytest.raises(SessionNotFound):
        await globex.fails(session)
    assert acme.session(session) == session


# Giving it back.


async def test_a_session_that_is_given_back_is_a_correction_of_its_record_with_the_reason(coach: Coach) -> None:
    session = await coach.creates()
    await coach.creates()
    coach.now += timedelta(hours=1)
    failed = await coach.fails(session, "the file was empty", give_back=True)
    assert (failed.status, failed.failure_reason) == (SessionStatus.FAILED, "the file was empty")
    booked, _, correction = coach.store.ledger
    assert correction == UsageRecord(
        id=correction.id,
        customer_id="acme",
        feature="sessions",
        quantity=-1,
        occurred_at=NOW,
        recorded_at=coach.now,
        origin=Origin("correction", "transcriber", str(session.id)),
        corrects=booked.id,
        reason="the file was empty",
    )
    assert (coach.used("sessions"), coach.used("minutes")) == (1, 0)


async def test_a_session_is_given_back_once_however_often_that_is_asked_for(coach: Coach) -> None:
    session = await coach.creates()
    outcomes = await coach.failing.execute(calls(*[coach.to_fail(session, give_back=True)] * 2))
    assert outcomes[0] == outcomes[1] == await coach.fails(session, "noise", give_back=True)
    assert [record.quantity for record in coach.store.ledger] == [1, -1]


async def test_what_an_administrator_has_given_back_is_not_given_back_again(coach: Coach) -> None:
    session = await coach.creates()
    refund = CorrectRecordCommand("acme", coach.store.ledger[0].id, Decimal(-1), "refund", "admin")
    await execute_one(CorrectRecord(coach.store.unit_of_work, coach.clock), refund)
    assert (await coach.fails(session, give_back=True)).status is SessionStatus.FAILED
    assert coach.used() == 0
    assert len(coach.store.ledger) == 2


async def test_a_session_that_failed_before_can_still_be_given_back(coach: Coach) -> None:
    session = await coach.creates()
    failed = await coach.fails(session, "silence")
    assert await coach.fails(session, "out of goodwill", give_back=True) == failed
    assert [(record.quantity, record.reason) for record in coach.store.ledger] == [(1, None), (-1, "out of goodwill")]


async def test_a_session_of_the_last_period_is_given_back_there(coach: Coach) -> None:
    coach.now = PERIOD.start - timedelta(days=1)
    sessions = [await coach.creates() for _ in range(3)]
    coach.now = NOW
    await coach.creates()
    await coach.failing.execute(calls(*[coach.to_fail(session, give_back=True) for session in sessions]))
    assert coach.used() == 1
    assert coach.store.used_within("acme", "sessions", replace(PERIOD, start=PERIOD.start - timedelta(days=30))) == 1
    assert coach.store.sums_asked == 1


async def test_a_completed_session_is_not_given_back(coach: Coach) -> None:
    session = await coach.creates()
    await coach.completes(session, 60)
    with pytest.raises(InvalidSessionState):
        await coach.fails(session, give_back=True)
    assert coach.used() == 1


async def test_failing_without_giving_back_locks_no_more_than_the_minutes(coach: Coach) -> None:
    session = await coach.creates()
    assert list(coach.failing.features_of(coach.to_fail(session))) == ["minutes"]
    assert set(coach.failing.features_of(coach.to_fail(session, give_back=True))) == {"sessions", "minutes"}
