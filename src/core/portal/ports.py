"""What the portal asks of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from core.portal.portal_session import PortalSession


class PortalSessions(ABC):
    """Portal sessions. Each method is a transaction of its own."""

    @abstractmethod
    async def add(self, session: PortalSession) -> None:
        """Keeps a new session. Raises CustomerNotFound."""

    @abstractmethod
    async def find(self, id: UUID) -> PortalSession | None:
        """The session, ended ones included until they are swept."""

    @abstractmethod
    async def end(self, customer_id: str, id: UUID, at: datetime) -> None:
        """Ends the session for good; again: the same. Raises PortalSessionNotFound where the customer has none with this id."""


class UsageWatch(ABC):
    """Tells whether anything of a customer's usage has changed."""

    @abstractmethod
    async def marks(self, customer_ids: Collection[str], at: datetime) -> Mapping[str, str]:
        """For each of these customers a text that differs from an earlier one where what is used or held has changed meanwhile.

        One question for all of them. Unknown customers are left out.
        """
