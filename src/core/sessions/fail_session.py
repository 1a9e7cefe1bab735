"""Give a session up."""

from dataclasses import dataclass
from uuid import UUID

from core.metering.account import Account
from core.sessions.session import Session
from core.sessions.session_command import ChangeSession


@dataclass(frozen=True, slots=True)
class FailSessionCommand:
    """`reason` is for people to read."""

    customer_id: str
    session_id: UUID
    reason: str


class FailSession(ChangeSession[FailSessionCommand]):
    """The session could not be transcribed: it is failed for good, and no minutes are booked.

    The session itself stays counted: it was created.
    """

    def change(self, session: Session, command: FailSessionCommand, account: Account) -> Session:
        return session.failed(command.reason, account.now)
