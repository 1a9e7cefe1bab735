"""The sessions product's ports in memory, faithful to the adapters, and a customer that records through its use cases."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import count
from typing import Self
from uuid import UUID

from core.customers.customer import Customer
from core.customers.deletion import FilePiece
from core.metering.account import CustomerNotFound
from core.metering.reader import Position
from core.metering.use_case import execute_one
from core.sessions.complete_session import CompleteSession, CompleteSessionCommand
from core.sessions.confirm_upload import ConfirmUpload, ConfirmUploadCommand
from core.sessions.create_session import CreateSession, CreateSessionCommand
from core.sessions.fail_session import FailSession, FailSessionCommand
from core.sessions.ports import SessionReader, Sessions, UploadStore
from core.sessions.receive_upload import AttachFile, AttachFileCommand, ReceiveUpload
from core.sessions.request_upload import RequestUpload, RequestUploadCommand
from core.sessions.session import Session, SessionKey, SessionNotFound, SttProvider, UploadedFile
from core.sessions.uploads import FileSizeExceeded, InvalidUploadUrl, UploadGrant, UploadInterrupted, UploadTarget, UploadUrlExpired
from tests.unit.fakes.examples import ACME, NOW, PERIOD, PRO
from tests.unit.fakes.metering import FakeStore, FakeUnitOfWork, InMemory
from tests.unit.fakes.operations import new

AUDIO = UploadedFile(UUID(int=77), "audio/mp4", 2_000_000)


class SessionStore(FakeStore):
    """What is committed, sessions included."""

    sessions: dict[SessionKey, Session]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.sessions = {}

    def unit_of_work(self) -> "FakeSessionsUnitOfWork":
        return FakeSessionsUnitOfWork(self)

    def put(self, *sessions: Session) -> None:
        """Stores them as they are."""
        self.sessions |= {SessionKey(session.customer_id, session.id): session for session in sessions}


class FakeSessions(InMemory[SessionKey, Session], Sessions):
    """Sessions in memory."""


class FakeSessionsUnitOfWork(FakeUnitOfWork):
    store: SessionStore
    sessions: FakeSessions

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.sessions = self._add(FakeSessions(self.journal, self.store.sessions))
        return self


class FakeSessionReader(SessionReader):
    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def get(self, key: SessionKey) -> Session:
        if key not in self._store.sessions:
            raise SessionNotFound(str(key.id))
        return self._store.sessions[key]

    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[Session]:
        if customer_id not in self._store.customers:
            raise CustomerNotFound(customer_id)
        mine = [session for session in self._store.sessions.values() if session.customer_id == customer_id]
        ordered = sorted(mine, key=lambda session: (session.created_at, session.id), reverse=True)
        return [session for session in ordered if before is None or (session.created_at, session.id) < before][:limit]


class FakeUploadStore(UploadStore):
    """Files in memory. The token of a URL is where its grant stands in the list of those that were handed out."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, UUID, UUID], bytes] = {}  # by customer, session and file
        self._grants: list[UploadGrant] = []
        self._ids = count(1)

    def target(self, grant: UploadGrant) -> UploadTarget:
        self._grants.append(grant)
        url = f"https://uploads.example/{len(self._grants) - 1}"
        return UploadTarget(url=url, method="PUT", headers={"Content-Type": grant.content_type}, grant=grant)

    def grant(self, token: str, content_type: str | None, now: datetime) -> UploadGrant:
        if not token.isdecimal() or int(token) >= len(self._grants):
            raise InvalidUploadUrl
        grant = self._grants[int(token)]
        if now >= grant.expires_at:
            raise UploadUrlExpired
        if content_type is None or content_type.lower() != grant.content_type.lower():
            raise InvalidUploadUrl
        return grant

    async def keep(self, grant: UploadGrant, content: AsyncIterator[bytes]) -> UploadedFile:
        received = bytearray()
        async for chunk in content:
            received += chunk
            if len(received) > grant.max_size_bytes:
                raise FileSizeExceeded(grant.max_file_size_mb, len(received), grant.max_size_bytes)
        if not received:
            raise UploadInterrupted
        file = UploadedFile(UUID(int=next(self._ids)), grant.content_type, len(received))
        self.files[grant.customer_id, grant.session_id, file.id] = bytes(received)
        return file

    async def discard(self, customer_id: str, session_id: UUID, file: UploadedFile) -> None:
        self.files.pop((customer_id, session_id, file.id), None)

    async def discard_some(self, customer_id: str, limit: int) -> bool:
        found = [key for key in self.files if key[0] == customer_id][:limit]
        for key in found:
            del self.files[key]
        return bool(found)

    async def pieces(self, customer_id: str) -> AsyncIterator[FilePiece]:
        for (id, session_id, file_id), content in list(self.files.items()):
            if id == customer_id:
                yield FilePiece(session_id, file_id, 0, content)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """What a caller sends."""
    for chunk in chunks:
        yield chunk


class Coach:
    """A customer that records coaching sessions, by what it does at `now`."""

    def __init__(self, store: SessionStore | None = None, customer: Customer = ACME, now: datetime = NOW) -> None:
        self.store = store or SessionStore([PRO], [customer])
        self.customer = customer
        self.now = now
        self.uploads = FakeUploadStore()
        parts = (self.store.unit_of_work, self.clock)
        self.creating, self.completing, self.failing = CreateSession(*parts), CompleteSession(*parts), FailSession(*parts)
        self.confirming, self.attaching = ConfirmUpload(*parts), AttachFile(*parts)
        self.requesting = RequestUpload(*parts, self.uploads)
        self.receiving = ReceiveUpload(self.uploads, FakeSessionReader(self.store), self.attaching, self.clock)

    def clock(self) -> datetime:
        return self.now

    def to_create(self, title: str = "Weekly coaching") -> CreateSessionCommand:
        return CreateSessionCommand(
            customer_id=self.customer.id, title=title, language="en-US", stt_provider=SttProvider.WHISPER, recorded_by="app"
        )

    async def creates(self, title: str = "Weekly coaching") -> Session:
        return new(await execute_one(self.creating, self.to_create(title)))

    def to_complete(self, session: Session, seconds: int) -> CompleteSessionCommand:
        return CompleteSessionCommand(
            customer_id=self.customer.id, session_id=session.id, duration_seconds=seconds, recorded_by="transcriber"
        )

    async def completes(self, session: Session, seconds: int) -> Session:
        return new(await execute_one(self.completing, self.to_complete(session, seconds)))

    def to_fail(self, session: Session, reason: str = "silence", *, give_back: bool = False) -> FailSessionCommand:
        return FailSessionCommand(
            customer_id=self.customer.id, session_id=session.id, reason=reason, recorded_by="transcriber", give_back=give_back
        )

    async def fails(self, session: Session, reason: str = "silence", *, give_back: bool = False) -> Session:
        return new(await execute_one(self.failing, self.to_fail(session, reason, give_back=give_back)))

    async def confirms(self, session: Session) -> Session:
        return new(await execute_one(self.confirming, ConfirmUploadCommand(self.customer.id, session.id)))

    async def attaches(self, session: Session, file: UploadedFile = AUDIO) -> UploadedFile | None:
        return new(await execute_one(self.attaching, AttachFileCommand(self.customer.id, session.id, file)))

    async def requests_upload(self, session: Session, size_bytes: int = 1_000, content_type: str = "audio/mp4") -> UploadTarget:
        command = RequestUploadCommand(
            customer_id=self.customer.id, session_id=session.id, content_type=content_type, size_bytes=size_bytes
        )
        return new(await execute_one(self.requesting, command))

    async def uploads_to(self, target: UploadTarget, *chunks: bytes, content_type: str | None = "audio/mp4") -> None:
        await self.receiving.execute(target.url.rpartition("/")[2], content_type, stream(*chunks))

    def session(self, session: Session) -> Session:
        """As it is stored."""
        return self.store.sessions[SessionKey(self.customer.id, session.id)]

    def used(self, feature: str = "sessions") -> int:
        """The ledger's sum in the period of the examples."""
        return self.store.used_within(self.customer.id, feature, PERIOD)
