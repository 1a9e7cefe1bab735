"""A file that arrived takes the place of the one before it, which the caller is told to remove."""

from uuid import UUID

import pytest

from core.sessions.receive_upload import AttachFileCommand
from core.sessions.session import InvalidSessionState, SessionNotFound, UploadedFile
from tests.unit.fakes.calls import calls
from tests.unit.fakes.sessions import AUDIO, Coach

OTHER = UploadedFile(UUID(int=78), "audio/mpeg", 5)


@pytest.fixture
def coach() -> Coach:
    return Coach()


async def test_the_first_file_takes_nobodys_place(coach: Coach) -> None:
    session = await coach.creates()
    assert await coach.attaches(session, AUDIO) is None
    assert coach.session(session).file == AUDIO


async def test_a_further_file_takes_the_place_of_the_last_one(coach: Coach) -> None:
    session = await coach.creates()
    await coach.attaches(session, AUDIO)
    assert await coach.attaches(session, OTHER) == AUDIO
    assert coach.session(session).file == OTHER


async def test_the_same_file_again_replaces_nothing(coach: Coach) -> None:
    """Or a repeated request would have the caller remove the very file that the session points to."""
    session = await coach.creates()
    await coach.attaches(session, AUDIO)
    assert await coach.attaches(session, AUDIO) is None


async def test_files_of_one_list_replace_one_another_in_order(coach: Coach) -> None:
    session = await coach.creates()
    outcomes = await coach.attaching.execute(calls(*(AttachFileCommand("acme", session.id, file) for file in (AUDIO, OTHER, OTHER))))
    assert outcomes == [None, AUDIO, None]
    assert coach.session(session).file == OTHER


async def test_a_confirmed_session_takes_no_file(coach: Coach) -> None:
    session = await coach.creates()
    await coach.attaches(session, AUDIO)
    confirmed = await coach.confirms(session)
    with pytest.raises(InvalidSessionState) as refusal:
        await coach.attaches(session, OTHER)
    assert refusal.value.facts() == {"session_id": str(session.id), "status": "pending"}
    assert coach.session(session) == confirmed


async def test_a_file_for_no_session_is_refused(coach: Coach) -> None:
    (outcome,) = await coach.attaching.execute(calls(AttachFileCommand("acme", UUID(int=404), AUDIO)))
    assert isinstance(outcome, SessionNotFound)
