"""A session only moves forward: uploading, pending, and then completed or failed for good."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from core.sessions.session import InvalidSessionState, Session, SessionStatus, SttProvider, UploadMissing
from tests.unit.fakes.examples import NOW
from tests.unit.fakes.sessions import AUDIO

LATER = NOW + timedelta(hours=1)
NEW = Session(UUID(int=1), "acme", "Weekly coaching", "en-US", SttProvider.AUTO, NOW)
UPLOADED = NEW.with_file(AUDIO)
PENDING = UPLOADED.confirmed()
COMPLETED = PENDING.completed(60, LATER)
FAILED = PENDING.failed("silence", LATER)

Step = Callable[[Session], Session]


def takes_a_file(session: Session) -> Session:
    return session.with_file(AUDIO)


def is_confirmed(session: Session) -> Session:
    return session.confirmed()


def is_completed(session: Session) -> Session:
    return session.completed(60, LATER)


def fails(session: Session) -> Session:
    return session.failed("silence", LATER)


@pytest.mark.parametrize(
    ("session", "step", "status"),
    [
        (NEW, takes_a_file, SessionStatus.UPLOADING),
        (UPLOADED, takes_a_file, SessionStatus.UPLOADING),
        (UPLOADED, is_confirmed, SessionStatus.PENDING),
        (NEW, is_completed, SessionStatus.COMPLETED),
        (UPLOADED, is_completed, SessionStatus.COMPLETED),
        (PENDING, is_completed, SessionStatus.COMPLETED),
        (NEW, fails, SessionStatus.FAILED),
        (UPLOADED, fails, SessionStatus.FAILED),
        (PENDING, fails, SessionStatus.FAILED),
    ],
)
def test_a_session_moves_forward(session: Session, step: Step, status: SessionStatus) -> None:
    assert step(session).status is status


@pytest.mark.parametrize(("session", "step"), [(PENDING, is_confirmed), (COMPLETED, is_completed), (FAILED, fails)])
def test_the_same_step_again_changes_nothing(session: Session, step: Step) -> None:
    assert step(session) is session


@pytest.mark.parametrize(
    ("session", "step"),
    [
        (PENDING, takes_a_file),
        (COMPLETED, takes_a_file),
        (FAILED, takes_a_file),
        (COMPLETED, is_confirmed),
        (FAILED, is_confirmed),
        (FAILED, is_completed),
        (COMPLETED, fails),
    ],
)
def test_a_session_never_moves_back(session: Session, step: Step) -> None:
    with pytest.raises(InvalidSessionState) as refusal:
        step(session)
    assert refusal.value.facts() == {"session_id": str(session.id), "status": session.status.value}


def test_a_session_without_a_file_cannot_be_confirmed() -> None:
    with pytest.raises(UploadMissing):
        NEW.confirmed()


def test_completing_says_how_long_and_when() -> None:
    assert (COMPLETED.duration_seconds, COMPLETED.finished_at, COMPLETED.failure_reason) == (60, LATER, None)


def test_completing_again_with_another_duration_is_refused() -> None:
    with pytest.raises(InvalidSessionState, match="be completed with a duration of 61 s"):
        COMPLETED.completed(61, LATER)


def test_failing_says_why_and_when() -> None:
    assert (FAILED.failure_reason, FAILED.finished_at, FAILED.duration_seconds) == ("silence", LATER, None)


@pytest.mark.parametrize("session", [NEW, UPLOADED])
def test_an_upload_is_awaited_until_it_is_confirmed(session: Session) -> None:
    session.require_uploading()


@pytest.mark.parametrize("session", [PENDING, COMPLETED, FAILED])
def test_no_upload_is_awaited_once_it_was_confirmed_or_the_session_is_over(session: Session) -> None:
    with pytest.raises(InvalidSessionState):
        session.require_uploading()
