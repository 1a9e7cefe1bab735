"""A session that could not be transcribed is failed for good; it stays counted, and books no minutes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.sessions.session import InvalidSessionState, SessionNotFound, SessionStatus
from tests.unit.fakes.examples import ACME, NOW, PRO
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
