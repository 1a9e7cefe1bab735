"""What telling callers apart asks of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from core.access.service_keys import ServiceKey
from core.errors import DomainError


class IdentityProviderUnavailable(DomainError):
    """Whoever signs user tokens does not publish its keys at the moment: whether a token is genuine cannot be told."""

    message = "User tokens cannot be verified: the identity provider does not answer. Nothing was booked; try again shortly."


class ServiceKeys(ABC):
    """The service keys, revoked ones included."""

    @abstractmethod
    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        """The existing ones among these ids, as they are at this moment. Raises StorageUnavailable."""

    @abstractmethod
    async def add(self, key: ServiceKey) -> None:
        """Stores a new key."""

    @abstractmethod
    async def all(self) -> Sequence[ServiceKey]:
        """All of them, oldest first."""

    @abstractmethod
    async def revoke(self, id: UUID, at: datetime) -> bool:
        """Ends the key for good; false where there is none. A key that was revoked before keeps its time."""


class UserTokens(ABC):
    """The tokens that customers bring."""

    @abstractmethod
    async def verify(self, token: str) -> str:
        """The id of the customer whose token this is.

        Raises Unauthenticated, and IdentityProviderUnavailable where it cannot be told.
        """
