"""A confirmed upload is final: the session waits for its transcription, and takes no other file."""

from dataclasses import replace

import pytest

from core.sessions.session import InvalidSessionState, SessionNotFound, SessionStatus, UploadMissing
from tests.unit.fakes.examples import ACME, PRO
from tests.unit.fakes.sessions import AUDIO, Coach, SessionStore


@pytest.fixture
def coach() -> Coach:
    return Coach()


async def test_a_session_with_a_file_is_confirmed_and_waits_for_its_transcription(coach: Coach) -> None:
    session = await coach.creates()
    await coach.attaches(session)
    confirmed = await coach.confirms(session)
    assert confirmed == replace(session, status=SessionStatus.PENDING, file=AUDIO)
    assert coach.session(session) == confirmed


async def test_without_a_file_nothing_is_confirmed(coach: Coach) -> None:
    session = await coach.creates()
    with pytest.raises(UploadMissing) as refusal:
        await coach.confirms(session)
    assert refusal.value.facts() == {"session_id": str(session.id)}
    assert coach.session(session) == session


async def test_confirming_again_changes_nothing(coach: Coach) -> None:
    session = await coach.creates()
    await coach.attaches(session)
    confirmed = await coach.confirms(session)
    assert await coach.confirms(session) == confirmed


async def test_confirming_books_nothing(coach: Coach) -> None:
    session = await coach.creates()
    await coach.attaches(session)
    await coach.confirms(session)
    assert (coach.used("sessions"), coach.used("minutes")) == (1, 0)


async def test_a_finished_session_cannot_be_confirmed(coach: Coach) -> None:
    session = await coach.creates()
    await coach.attaches(session)
    await coach.completes(session, 60)
    with pytest.raises(InvalidSessionState) as refusal:
        await coach.confirms(session)
    assert refusal.value.facts() == {"session_id": str(session.id), "status": "completed"}


async def test_a_confirmed_session_can_be_completed(coach: Coach) -> None:
    session = await coach.creates()
    await coach.attaches(session)
    await coach.confirms(session)
    completed = await coach.completes(session, 60)
    assert (completed.status, completed.file) == (SessionStatus.COMPLETED, AUDIO)


async def test_only_the_customers_own_sessions_can_be_confirmed() -> None:
    store = SessionStore([PRO], [ACME, replace(ACME, id="globex")])
    acme, globex = Coach(store), Coach(store, replace(ACME, id="globex"))
    session = await acme.creates()
    await acme.attaches(session)
    with pytest.raises(SessionNotFound):
        await globex.confirms(session)
