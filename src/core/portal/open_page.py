"""Open a customer's usage page by the token in its address."""

from core.access.session_token import parts_of
from core.clock import Clock
from core.portal.portal_session import PortalSession, PortalSessionNotFound
from core.portal.ports import PortalSessions


class OpenPage:
    """A token opens one customer's page, until its session ends."""

    def __init__(self, sessions: PortalSessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock

    async def execute(self, token: str) -> PortalSession:
        """Raises PortalSessionNotFound and PortalSessionEnded. Who does not know the secret learns nothing of the session."""
        parts = parts_of(token)
        session = await self._sessions.find(parts[0]) if parts else None
        if parts is None or session is None or not session.opens(parts[1], self._clock()):
            raise PortalSessionNotFound("of this address")
        return session
