"""Take the bytes of a session's audio."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from core.clock import Clock
from core.errors import DomainError, StorageUnavailable
from core.metering.account import Account
from core.metering.use_case import UseCase, execute_one
from core.sessions.ports import SessionReader, SessionsUnitOfWork, UploadStore
from core.sessions.session import SessionKey, UploadedFile
from core.sessions.session_command import SessionUseCase


@dataclass(frozen=True, slots=True)
class AttachFileCommand:
    """A file that has arrived for a session."""

    customer_id: str
    session_id: UUID
    file: UploadedFile


class AttachFile(SessionUseCase[AttachFileCommand, UploadedFile | None]):
    """The session now has this file; the one that it took the place of, if any, is returned, for the caller to remove.

    Refused once the upload has been confirmed.
    """

    def decide(self, command: AttachFileCommand, account: Account, uow: SessionsUnitOfWork) -> UploadedFile | None:
        session = self.session(command, uow)
        uow.sessions.save(session.with_file(command.file))
        return session.file if session.file != command.file else None


class ReceiveUpload:
    """Stream a file to the store, and only when it is there, whole, let the session point to it.

    - The URL's signature says for which customer, session, type and size it is good, and until when.
    - Of a refused or interrupted upload nothing is kept.
    - One upload at a time for a session.
    - Until the upload is confirmed, a further file takes the place of the last one, which is then removed.
    """

    def __init__(
        self, uploads: UploadStore, sessions: SessionReader, attach_file: UseCase[AttachFileCommand, UploadedFile | None], clock: Clock
    ) -> None:
        self._uploads = uploads
        self._sessions = sessions
        self._attach_file = attach_file
        self._clock = clock

    async def execute(self, token: str, content_type: str | None, content: AsyncIterator[bytes]) -> None:
        """Raises InvalidUploadUrl, UploadUrlExpired, SessionNotFound, InvalidSessionState, and what `UploadStore.keep` raises."""
        grant = self._uploads.grant(token, content_type, self._clock())
        session = await self._sessions.get(SessionKey(grant.customer_id, grant.session_id))
        session.require_uploading()
        file = await self._uploads.keep(grant, content)
        try:
            replaced = await execute_one(
                self._attach_file, AttachFileCommand(customer_id=grant.customer_id, session_id=grant.session_id, file=file)
            )
        except DomainError as refusal:
            # Where the outcome is unknown, the session may point to the file. One file too many does no harm; one too few is a loss.
            if not (isinstance(refusal, StorageUnavailable) and refusal.outcome_unknown):
                await self._uploads.discard(grant.customer_id, grant.session_id, file)
            raise
        if isinstance(replaced, UploadedFile):
            with suppress(StorageUnavailable):  # the new file stands, whatever becomes of the old one
                await self._uploads.discard(grant.customer_id, grant.session_id, replaced)
