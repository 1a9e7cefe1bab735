"""Receiving an upload, with a real directory behind it: no file is lost, and none stays that no session points to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from core.errors import DomainError, StorageUnavailable
from core.metering.idempotency import Replay
from core.metering.use_case import Call
from core.sessions.receive_upload import AttachFile, AttachFileCommand, ReceiveUpload
from core.sessions.session import InvalidSessionState, Session, SessionKey, SttProvider, UploadedFile
from core.sessions.uploads import FileSizeExceeded, InvalidUploadUrl, UploadGrant, UploadInProgress, UploadInterrupted, UploadUrlExpired
from infrastructure.storage.local_disk import LocalDiskUploads
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, PRO
from tests.unit.fakes.sessions import FakeSessionReader, SessionStore

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SESSION = Session(uuid4(), "acme", "Weekly coaching", "en-US", SttProvider.AUTO, NOW)
SESSION_KEY = SessionKey("acme", SESSION.id)
GRANT = UploadGrant("acme", SESSION.id, "audio/mp4", 1_000, Decimal(1), NOW + timedelta(minutes=15))


class Attaching:
    """The use case that lets a session point to a file, on a store in memory; it may fail."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.failure: DomainError | None = None
        self._attach_file = AttachFile(store.unit_of_work, lambda: NOW)

    async def execute(self, calls: Sequence[Call[AttachFileCommand]]) -> Sequence[UploadedFile | Replay | DomainError | None]:
        return [self.failure for _ in calls] if self.failure is not None else await self._attach_file.execute(calls)

    def file(self) -> UploadedFile | None:
        return self.store.sessions[SESSION_KEY].file


@pytest.fixture
def sessions() -> Attaching:
    store = SessionStore([PRO], [ACME])
    store.put(SESSION)
    return Attaching(store)


@pytest.fixture
def receive_upload(uploads: LocalDiskUploads, sessions: Attaching) -> ReceiveUpload:
    return ReceiveUpload(uploads, FakeSessionReader(sessions.store), sessions, lambda: NOW)


@pytest.fixture
def token(uploads: LocalDiskUploads) -> str:
    return uploads.target(GRANT).url.rpartition("/")[2]


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def never() -> AsyncIterator[bytes]:
    pytest.fail("The content of a refused upload was asked for.")
    yield b""


def kept(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*") if not path.is_dir()}


async def test_the_session_points_to_the_file_that_arrived(
    receive_upload: ReceiveUpload, sessions: Attaching, token: str, directory: Path
) -> None:
    await receive_upload.execute(token, "audio/mp4", stream(b"hello ", b"coach"))

    file = sessions.file()
    assert file is not None
    assert (file.content_type, file.size_bytes) == ("audio/mp4", 11)
    assert kept(directory) == {str(file.id): b"hello coach"}


async def test_a_further_file_takes_the_place_of_the_last_one(
    receive_upload: ReceiveUpload, sessions: Attaching, token: str, directory: Path
) -> None:
    for content in (b"first", b"second", b"third"):
        await receive_upload.execute(token, "audio/mp4", stream(content))

    file = sessions.file()
    assert file is not None
    assert kept(directory) == {str(file.id): b"third"}


async def test_of_uploads_at_the_same_time_the_one_that_the_session_points_to_is_kept_and_no_other(
    receive_upload: ReceiveUpload, sessions: Attaching, token: str, directory: Path
) -> None:
    """Whoever removed the file that it had seen before its upload would leave those that arrived meanwhile."""
    await receive_upload.execute(token, "audio/mp4", stream(b"before them all"))

    uploading = (receive_upload.execute(token, "audio/mp4", stream(bytes([number]))) for number in range(10))
    outcomes = await asyncio.gather(*uploading, return_exceptions=True)

    assert None in outcomes
    assert all(outcome is None or isinstance(outcome, UploadInProgress) for outcome in outcomes)
    file = sessions.file()
    assert file is not None
    assert list(kept(directory)) == [str(file.id)]


async def test_an_upload_that_is_overtaken_by_the_confirmation_leaves_the_confirmed_file_alone(
    receive_upload: ReceiveUpload, sessions: Attaching, token: str, directory: Path
) -> None:
    await receive_upload.execute(token, "audio/mp4", stream(b"confirmed"))

    async def slow() -> AsyncIterator[bytes]:
        yield b"too "
        sessions.store.put(sessions.store.sessions[SESSION_KEY].confirmed())
        yield b"late"

    with pytest.raises(InvalidSessionState):
        await receive_upload.execute(token, "audio/mp4", slow())

    assert list(kept(directory).values()) == [b"confirmed"]


async def test_nothing_is_kept_where_the_session_cannot_be_saved(
    receive_upload: ReceiveUpload, sessions: Attaching, token: str, directory: Path
) -> None:
    sessions.failure = StorageUnavailable()

    with pytest.raises(StorageUnavailable):
        await receive_upload.execute(token, "audio/mp4", stream(b"content"))

    assert kept(directory) == {}


async def test_the_file_is_kept_where_the_session_may_have_been_saved(
    receive_upload: ReceiveUpload, sessions: Attaching, token: str, directory: Path
) -> None:
    """The commit was on its way when the database went: a session that points to a file that is gone would be a lost recording."""
    sessions.failure = StorageUnavailable(outcome_unknown=True)

    with pytest.raises(StorageUnavailable):
        await receive_upload.execute(token, "audio/mp4", stream(b"content"))

    assert list(kept(directory).values()) == [b"content"]


async def test_attaching_the_same_file_again_replaces_nothing(sessions: Attaching) -> None:
    command = AttachFileCommand("acme", SESSION.id, UploadedFile(uuid4(), "audio/mp4", 1))

    assert await sessions.execute(calls(command, command)) == [None, None]


async def test_files_of_one_batch_replace_one_another_in_order(sessions: Attaching) -> None:
    first, second = (UploadedFile(uuid4(), "audio/mp4", size) for size in (1, 2))

    outcomes = await sessions.execute(calls(*(AttachFileCommand("acme", SESSION.id, file) for file in (first, second))))

    assert outcomes == [None, first]


async def test_nothing_is_taken_for_a_session_that_waits_for_no_upload(
    receive_upload: ReceiveUpload, sessions: Attaching, token: str
) -> None:
    sessions.store.put(SESSION.failed("no recording", NOW))

    with pytest.raises(InvalidSessionState):
        await receive_upload.execute(token, "audio/mp4", never())


async def test_nothing_is_taken_by_an_invalid_or_expired_url(
    uploads: LocalDiskUploads, sessions: Attaching, receive_upload: ReceiveUpload, token: str
) -> None:
    with pytest.raises(InvalidUploadUrl):
        await receive_upload.execute(token, "audio/mpeg", never())
    with pytest.raises(UploadUrlExpired):
        await ReceiveUpload(uploads, FakeSessionReader(sessions.store), sessions, lambda: GRANT.expires_at).execute(
            token, "audio/mp4", never()
        )


async def test_a_refused_upload_leaves_the_last_one_in_its_place(
    receive_upload: ReceiveUpload, sessions: Attaching, token: str, directory: Path
) -> None:
    await receive_upload.execute(token, "audio/mp4", stream(b"good"))

    with pytest.raises(FileSizeExceeded):
        await receive_upload.execute(token, "audio/mp4", stream(bytes(1_001)))
    with pytest.raises(UploadInterrupted):
        await receive_upload.execute(token, "audio/mp4", stream())

    file = sessions.file()
    assert file is not None
    assert kept(directory) == {str(file.id): b"good"}
