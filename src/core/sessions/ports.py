"""What coaching sessions ask of the outside."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from core.metering.ports import UnitOfWork
from core.sessions.session import Session, UploadedFile
from core.sessions.uploads import UploadGrant, UploadTarget


class Sessions(ABC):
    """Coaching sessions inside a unit of work. Whoever changes one has its customer's `minutes` locked."""

    @abstractmethod
    async def find(self, ids: Iterable[tuple[str, UUID]]) -> dict[UUID, Session]:
        """The existing ones among these (customer id, session id) pairs."""

    @abstractmethod
    def add(self, session: Session) -> None:
        """A new session, written by `UnitOfWork.commit`."""

    @abstractmethod
    def save(self, session: Session) -> None:
        """A session's next state, written by `UnitOfWork.commit`."""


class SessionsUnitOfWork(UnitOfWork, Protocol):
    """A transaction over accounts and coaching sessions."""

    @property
    def sessions(self) -> Sessions: ...


class SessionReader(ABC):
    """Reads outside of any transaction."""

    @abstractmethod
    async def get(self, customer_id: str, id: UUID) -> Session:
        """Raises SessionNotFound."""

    @abstractmethod
    async def newest(self, customer_id: str, limit: int, before: tuple[datetime, UUID] | None) -> Sequence[Session]:
        """Newest first, those created before the given (created_at, id)."""


class UploadStore(ABC):
    """Keeps uploaded files, and hands out leave to upload them."""

    @abstractmethod
    def target(self, grant: UploadGrant) -> UploadTarget:
        """A signed URL that carries the grant."""

    @abstractmethod
    def grant(self, token: str, content_type: str | None, now: datetime) -> UploadGrant:
        """The grant that a signed URL's token carries. Raises InvalidUploadUrl or UploadUrlExpired."""

    @abstractmethod
    async def keep(self, grant: UploadGrant, content: AsyncIterator[bytes]) -> UploadedFile:
        """Streams the content into a new file; whole or not at all. Raises FileSizeExceeded and UploadInterrupted."""

    @abstractmethod
    async def discard(self, customer_id: str, session_id: UUID, file: UploadedFile) -> None:
        """Removes a kept file; one that is gone already is fine."""
