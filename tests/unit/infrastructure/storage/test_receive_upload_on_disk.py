"""Receiving an upload, with a real directory behind it: no file is lost, and none stays that no session points to."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.errors import DomainError, StorageUnavailable
from core.sessions.ports import SessionReader, Sessions
from core.sessions.receive_upload import AttachFile, AttachFileCommand, ReceiveUpload
from core.sessions.session import InvalidSessionState, Session, SessionNotFound, SttProvider, UploadedFile
from core.sessions.uploads import FileSizeExceeded, InvalidUploadUrl, UploadGrant, UploadInterrupted, UploadUrlExpired
from infrastructure.storage.local_disk import LocalDiskUploads

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SESSION = Session(uuid4(), "acme", "Weekly coaching", "en-US", SttProvider.AUTO, NOW)
GRANT = UploadGrant("acme", SESSION.id, "audio/mp4", 1_000, Decimal(1), NOW + timedelta(minutes=15))


class StoredSessions(Sessions, SessionReader):
    """Sessions in memory, and the use case's transaction on them: it decides at once, so nothing gets in between."""

    def __init__(self, *sessions: Session) -> None:
        self.stored = {session.id: session for session in sessions}
        self.failure: DomainError | None = None

    async def find(self, ids: Iterable[tuple[str, UUID]]) -> dict[UUID, Session]:
        return {id: self.stored[id] for _, id in ids if id in self.stored}

    def add(self, session: Session) -> None:
        self.stored[session.id] = session

    def save(self, session: Session) -> None:
        self.stored[session.id] = session

    async def get(self, customer_id: str, id: UUID) -> Session:
        if id not in self.stored:
            raise SessionNotFound(str(id))
        return self.stored[id]

    async def newest(self, customer_id: str, limit: int, before: tuple[datetime, UUID] | None) -> Sequence[Session]:
        return list(self.stored.values())

    async def execute(self, commands: Sequence[AttachFileCommand]) -> Sequence[UploadedFile | DomainError | None]:
        if self.failure is not None:
            return [self.failure for _ in commands]
        uow: Any = SimpleNamespace(sessions=self)
        account: Any = None
        attach_file = AttachFile(lambda: uow, lambda: NOW)
        facts = await attach_file.read(commands, uow)
        outcomes: list[UploadedFile | DomainError | None] = []
        for command in commands:
            try:
                outcomes.append(attach_file.decide(command, account, facts, uow))
            except DomainError as refusal:
                outcomes.append(refusal)
        return outcomes


@pytest.fixture
def sessions() -> StoredSessions:
    return StoredSessions(SESSION)


@pytest.fixture
def receive_upload(uploads: LocalDiskUploads, sessions: StoredSessions) -> ReceiveUpload:
    return ReceiveUpload(uploads, sessions, sessions, lambda: NOW)


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
    receive_upload: ReceiveUpload, sessions: StoredSessions, token: str, directory: Path
) -> None:
    await receive_upload.execute(token, "audio/mp4", stream(b"hello ", b"coach"))

    file = sessions.stored[SESSION.id].file
    assert file is not None
    assert (file.content_type, file.size_bytes) == ("audio/mp4", 11)
    assert kept(directory) == {str(file.id): b"hello coach"}


async def test_a_further_file_takes_the_place_of_the_last_one(
    receive_upload: ReceiveUpload, sessions: StoredSessions, token: str, directory: Path
) -> None:
    for content in (b"first", b"second", b"third"):
        await receive_upload.execute(token, "audio/mp4", stream(content))

    file = sessions.stored[SESSION.id].file
    assert file is not None
    assert kept(directory) == {str(file.id): b"third"}


async def test_of_uploads_at_the_same_time_the_one_that_the_session_points_to_is_kept_and_no_other(
    receive_upload: ReceiveUpload, sessions: StoredSessions, token: str, directory: Path
) -> None:
    """Whoever removed the file that it had seen before its upload would leave those that arrived meanwhile."""
    await receive_upload.execute(token, "audio/mp4", stream(b"before them all"))

    await asyncio.gather(*(receive_upload.execute(token, "audio/mp4", stream(bytes([number]))) for number in range(10)))

    file = sessions.stored[SESSION.id].file
    assert file is not None
    assert list(kept(directory)) == [str(file.id)]


async def test_an_upload_that_is_overtaken_by_the_confirmation_leaves_the_confirmed_file_alone(
    receive_upload: ReceiveUpload, sessions: StoredSessions, token: str, directory: Path
) -> None:
    await receive_upload.execute(token, "audio/mp4", stream(b"confirmed"))

    async def slow() -> AsyncIterator[bytes]:
        yield b"too "
        sessions.save(sessions.stored[SESSION.id].confirmed())
        yield b"late"

    with pytest.raises(InvalidSessionState):
        await receive_upload.execute(token, "audio/mp4", slow())

    assert list(kept(directory).values()) == [b"confirmed"]


async def test_nothing_is_kept_where_the_session_cannot_be_saved(
    receive_upload: ReceiveUpload, sessions: StoredSessions, token: str, directory: Path
) -> None:
    sessions.failure = StorageUnavailable()

    with pytest.raises(StorageUnavailable):
        await receive_upload.execute(token, "audio/mp4", stream(b"content"))

    assert kept(directory) == {}


async def test_the_file_is_kept_where_the_session_may_have_been_saved(
    receive_upload: ReceiveUpload, sessions: StoredSessions, token: str, directory: Path
) -> None:
    """The commit was on its way when the database went: a session that points to a file that is gone would be a lost recording."""
    sessions.failure = StorageUnavailable(outcome_unknown=True)

    with pytest.raises(StorageUnavailable):
        await receive_upload.execute(token, "audio/mp4", stream(b"content"))

    assert list(kept(directory).values()) == [b"content"]


async def test_attaching_the_same_file_again_replaces_nothing(sessions: StoredSessions) -> None:
    command = AttachFileCommand("acme", SESSION.id, UploadedFile(uuid4(), "audio/mp4", 1))

    assert await sessions.execute([command, command]) == [None, None]


async def test_files_of_one_batch_replace_one_another_in_order(sessions: StoredSessions) -> None:
    first, second = (UploadedFile(uuid4(), "audio/mp4", size) for size in (1, 2))

    outcomes = await sessions.execute([AttachFileCommand("acme", SESSION.id, file) for file in (first, second)])

    assert outcomes == [None, first]


async def test_nothing_is_taken_for_a_session_that_waits_for_no_upload(
    receive_upload: ReceiveUpload, sessions: StoredSessions, token: str
) -> None:
    sessions.save(SESSION.failed("no recording", NOW))

    with pytest.raises(InvalidSessionState):
        await receive_upload.execute(token, "audio/mp4", never())


async def test_nothing_is_taken_by_an_invalid_or_expired_url(
    uploads: LocalDiskUploads, sessions: StoredSessions, receive_upload: ReceiveUpload, token: str
) -> None:
    with pytest.raises(InvalidUploadUrl):
        await receive_upload.execute(token, "audio/mpeg", never())
    with pytest.raises(UploadUrlExpired):
        await ReceiveUpload(uploads, sessions, sessions, lambda: GRANT.expires_at).execute(token, "audio/mp4", never())


async def test_a_refused_upload_leaves_the_last_one_in_its_place(
    receive_upload: ReceiveUpload, sessions: StoredSessions, token: str, directory: Path
) -> None:
    await receive_upload.execute(token, "audio/mp4", stream(b"good"))

    with pytest.raises(FileSizeExceeded):
        await receive_upload.execute(token, "audio/mp4", stream(bytes(1_001)))
    with pytest.raises(UploadInterrupted):
        await receive_upload.execute(token, "audio/mp4", stream())

    file = sessions.stored[SESSION.id].file
    assert file is not None
    assert kept(directory) == {str(file.id): b"good"}
