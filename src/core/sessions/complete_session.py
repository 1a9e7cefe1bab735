"""Finish a session and book the minutes that it took."""

from dataclasses import dataclass
from uuid import UUID

from core.metering.account import Account
from core.metering.ledger import Origin
from core.sessions.features import MINUTES
from core.sessions.session import Session
from core.sessions.session_command import ChangeSession


@dataclass(frozen=True, slots=True)
class CompleteSessionCommand:
    """`duration_seconds` is what was transcribed."""

    customer_id: str
    session_id: UUID
    duration_seconds: int
    recorded_by: str


class CompleteSession(ChangeSession[CompleteSessionCommand]):
    """Complete a session and book its duration, to the second.

    - The work is done, so it is always booked; minutes above the limit are overage, and the next creation is refused.
    - It is booked once, however often and by however many callers the session is completed.
    """

    def change(self, session: Session, command: CompleteSessionCommand, account: Account) -> Session:
        completed = session.completed(command.duration_seconds, account.now)
        if completed is not session and command.duration_seconds:
            account.record(MINUTES.key, command.duration_seconds, Origin("sessions", command.recorded_by, str(session.id)))
        return completed
