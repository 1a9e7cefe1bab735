"""Say that a session's audio has been uploaded."""

from dataclasses import dataclass
from uuid import UUID

from core.metering.account import Account
from core.sessions.session import Session
from core.sessions.session_command import ChangeSession


@dataclass(frozen=True, slots=True)
class ConfirmUploadCommand:
    """Names the session."""

    customer_id: str
    session_id: UUID


class ConfirmUpload(ChangeSession[ConfirmUploadCommand]):
    """The upload is done: the session waits for its transcription, and takes no other file.

    - Refused where no file has arrived.
    - Confirming again changes nothing.
    """

    def change(self, session: Session, command: ConfirmUploadCommand, account: Account) -> Session:
        return session.confirmed()
