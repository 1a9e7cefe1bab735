"""A file is kept only where it arrived whole, and the session that it is for points to it."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from core.errors import DomainError, StorageUnavailable
from core.metering.use_case import Call
from core.sessions.receive_upload import AttachFileCommand, ReceiveUpload
from core.sessions.request_upload import URL_VALID_FOR
from core.sessions.session import InvalidSessionState, Session, SessionNotFound, UploadedFile
from core.sessions.uploads import FileSizeExceeded, InvalidUploadUrl, UploadInterrupted, UploadTarget, UploadUrlExpired
from tests.unit.fakes.sessions import Coach, FakeSessionReader, stream


@pytest.fixture
def coach() -> Coach:
    return Coach()


@pytest.fixture
async def session(coach: Coach) -> Session:
    return await coach.creates()


@pytest.fixture
async def target(coach: Coach, session: Session) -> UploadTarget:
    return await coach.requests_upload(session, 1_000)


async def never() -> AsyncIterator[bytes]:
    pytest.fail("The content of a refused upload was asked for.")
    yield b""


def contents(coach: Coach) -> list[bytes]:
    return list(coach.uploads.files.values())


def token_of(target: UploadTarget) -> str:
    return target.url.rpartition("/")[2]


async def test_the_session_points_to_the_file_that_arrived(coach: Coach, session: Session, target: UploadTarget) -> None:
    await coach.uploads_to(target, b"hello ", b"coach")
    file = coach.session(session).file
    assert file is not None
    assert (file.content_type, file.size_bytes) == ("audio/mp4", 11)
    assert coach.uploads.files == {("acme", session.id, file.id): b"hello coach"}


async def test_a_further_file_takes_the_place_of_the_last_one_which_is_removed(
    coach: Coach, session: Session, target: UploadTarget
) -> None:
    for content in (b"first", b"second", b"third"):
        await coach.uploads_to(target, content)
    file = coach.session(session).file
    assert file is not None
    assert coach.uploads.files == {("acme", session.id, file.id): b"third"}


async def test_an_upload_books_nothing(coach: Coach, target: UploadTarget) -> None:
    await coach.uploads_to(target, b"content")
    assert (coach.used("sessions"), coach.used("minutes")) == (1, 0)


# Nothing is kept of what is refused.


async def test_a_file_larger_than_its_url_was_signed_for_leaves_the_last_one_in_its_place(
    coach: Coach, session: Session, target: UploadTarget
) -> None:
    await coach.uploads_to(target, b"good")
    before = coach.session(session)
    with pytest.raises(FileSizeExceeded):
        await coach.uploads_to(target, bytes(1_000), b"!")
    with pytest.raises(UploadInterrupted):
        await coach.uploads_to(target)
    assert (coach.session(session), contents(coach)) == (before, [b"good"])


async def test_nothing_is_asked_for_by_a_url_that_is_wrong_expired_or_of_another_type(coach: Coach, target: UploadTarget) -> None:
    receiving, token = coach.receiving, token_of(target)
    for wrong, content_type in [("forged", "audio/mp4"), (token, "audio/mpeg"), (token, None)]:
        with pytest.raises(InvalidUploadUrl):
            await receiving.execute(wrong, content_type, never())
    coach.now += URL_VALID_FOR
    with pytest.raises(UploadUrlExpired):
        await receiving.execute(token, "audio/mp4", never())


async def test_a_url_is_good_until_the_last_instant(coach: Coach, target: UploadTarget) -> None:
    coach.now += URL_VALID_FOR - timedelta(microseconds=1)
    await coach.uploads_to(target, b"content")
    assert contents(coach) == [b"content"]


async def test_nothing_is_asked_for_where_the_session_waits_for_no_upload(coach: Coach, session: Session, target: UploadTarget) -> None:
    await coach.fails(session)
    with pytest.raises(InvalidSessionState):
        await coach.receiving.execute(token_of(target), "audio/mp4", never())


async def test_nothing_is_asked_for_where_there_is_no_session(coach: Coach, target: UploadTarget) -> None:
    coach.store.sessions.clear()
    with pytest.raises(SessionNotFound):
        await coach.receiving.execute(token_of(target), "audio/mp4", never())


async def test_a_file_that_arrives_after_the_confirmation_is_removed(coach: Coach, session: Session, target: UploadTarget) -> None:
    await coach.uploads_to(target, b"confirmed")

    async def slow() -> AsyncIterator[bytes]:
        yield b"too "
        await coach.confirms(session)
        yield b"late"

    with pytest.raises(InvalidSessionState):
        await coach.receiving.execute(token_of(target), "audio/mp4", slow())
    assert contents(coach) == [b"confirmed"]


# The storage may fail in between.


class Failing:
    """Cannot let a session point to its file."""

    def __init__(self, failure: DomainError) -> None:
        self._failure = failure

    async def execute(self, calls: Sequence[Call[AttachFileCommand]]) -> Sequence[UploadedFile | DomainError | None]:
        return [self._failure for _ in calls]


@pytest.mark.parametrize(
    ("failure", "kept"),
    [
        (StorageUnavailable(), []),
        (StorageUnavailable(outcome_unknown=True), [b"content"]),
        (SessionNotFound("gone"), []),
    ],
)
async def test_the_file_is_kept_only_where_the_session_may_have_been_saved(
    coach: Coach, target: UploadTarget, failure: DomainError, kept: list[bytes]
) -> None:
    """Where the commit was on its way, a session that points to a file that is gone would be a lost recording."""
    receiving = ReceiveUpload(coach.uploads, FakeSessionReader(coach.store), Failing(failure), coach.clock)
    with pytest.raises(type(failure)):
        await receiving.execute(token_of(target), "audio/mp4", stream(b"content"))
    assert contents(coach) == kept


async def test_the_new_file_stands_though_the_old_one_cannot_be_removed(
    coach: Coach, session: Session, target: UploadTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(customer_id: str, session_id: UUID, file: UploadedFile) -> None:
        raise StorageUnavailable

    await coach.uploads_to(target, b"old")
    monkeypatch.setattr(coach.uploads, "discard", unavailable)
    await coach.uploads_to(target, b"new")
    file = coach.session(session).file
    assert file is not None
    assert coach.uploads.files["acme", session.id, file.id] == b"new"
