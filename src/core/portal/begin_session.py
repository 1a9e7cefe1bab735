"""Make an address of a customer's usage page."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from core.clock import Clock
from core.portal.portal_session import NewPortalSession, PortalSession
from core.portal.ports import PortalSessions


class Begun(NamedTuple):
    """The session as it is stored, and the token that opens it, which is shown this once."""

    session: PortalSession
    token: str


class BeginSession:
    """Begin a session of a customer's page. What is stored is a hash: nobody can show the address again."""

    def __init__(self, sessions: PortalSessions, clock: Clock, new_id: Callable[[], UUID]) -> None:
        self._sessions = sessions
        self._clock = clock
        self._new_id = new_id

    async def execute(self, wanted: NewPortalSession) -> Begun:
        """Raises CustomerNotFound."""
        begun = Begun(*wanted.begun(self._new_id(), self._clock()))
        await self._sessions.add(begun.session)
        return begun
