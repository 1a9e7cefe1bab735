"""What coaching sessions ask of the outside."""

from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol
from uuid import UUID

from core.customers.deletion import CustomerFiles
from core.metering.ports import UnitOfWork
from core.metering.reader import Reader
from core.metering.repository import Repository
from core.sessions.session import Session, SessionKey, SessionNotFound, UploadedFile
from core.sessions.uploads import UploadGrant, UploadTarget


class Sessions(Repository[SessionKey, Session]):
    """Coaching sessions inside a unit of work. Whoever changes one has its customer's `minutes` locked."""

    def key(self, value: Session) -> SessionKey:
        return SessionKey(value.customer_id, value.id)


class SessionsUnitOfWork(UnitOfWork, Protocol):
    """A transaction over accounts and coaching sessions."""

    @property
    def sessions(self) -> Sessions: ...


class SessionReader(Reader[SessionKey, Session]):
    """Coaching sessions as they stand, newest first by when they were created."""

    missing = SessionNotFound
    newest_by = "created_at"


class UploadStore(CustomerFiles):
    """Keeps uploaded files, and hands out leave to upload them."""

    @abstractmethod
    def target(self, grant: UploadGrant) -> UploadTarget:
        """A signed URL that carries the grant."""

    @abstractmethod
    def grant(self, token: str, content_type: str | None, now: datetime) -> UploadGrant:
        """The grant that a signed URL's token carries. Raises InvalidUploadUrl or UploadUrlExpired."""

    @abstractmethod
    async def keep(self, grant: UploadGrant, content: AsyncIterator[bytes]) -> UploadedFile:
        """Streams the content into a new file; whole or not at all. Raises FileSizeExceeded, UploadInterrupted and UploadInProgress."""

    @abstractmethod
    async def discard(self, customer_id: str, session_id: UUID, file: UploadedFile) -> None:
        """Removes a kept file; one that is gone already is fine."""
