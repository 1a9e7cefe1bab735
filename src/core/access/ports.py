"""What access control asks of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from core.access.console_session import ConsoleSession
from core.access.service_keys import ServiceKey
from core.errors import DomainError
from core.metering.repository import Repository


class IdentityProviderUnavailable(DomainError):
    """The keys of those who sign user tokens cannot be had at the moment: nobody can say whether a token is genuine."""

    message = "User tokens cannot be verified: the identity provider does not answer. Nothing was booked; try again shortly."


class ServiceKeys(Repository[UUID, ServiceKey]):
    """Service keys, revoked ones included, by their ids, inside a unit of work. They belong to no customer."""

    def key(self, value: ServiceKey) -> UUID:
        return value.id

    @abstractmethod
    async def lock(self, id: UUID) -> None:
        """Loads the key for a change: nobody else changes it before the commit."""


class AccessUnitOfWork(Protocol):
    """A transaction over service keys."""

    @property
    def service_keys(self) -> ServiceKeys: ...

    async def commit(self) -> None:
        """Makes all of it durable. Raises ConcurrentUpdate where it has to be run again, and StorageUnavailable."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class ServiceKeyReader(ABC):
    """Service keys as they stand, revoked ones included."""

    @abstractmethod
    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        """The existing ones among these ids, as they are at this moment. Raises StorageUnavailable."""

    @abstractmethod
    async def all(self) -> Sequence[ServiceKey]:
        """All of them, oldest first."""


class ConsoleSessions(ABC):
    """Sessions of the console. Each method is a transaction of its own. Raises StorageUnavailable."""

    @abstractmethod
    async def add(self, session: ConsoleSession) -> None:
        """Keeps a new session."""

    @abstractmethod
    async def find(self, id: UUID) -> ConsoleSession | None:
        """The session, ended ones included until they are swept."""

    @abstractmethod
    async def end(self, id: UUID) -> None:
        """Removes the session; again: the same."""


class UserTokens(ABC):
    """The tokens that customers bring."""

    @abstractmethod
    async def verify(self, token: str) -> str:
        """The id of the customer whose token this is.

        Raises Unauthenticated, and IdentityProviderUnavailable where that cannot be found out.
        """
