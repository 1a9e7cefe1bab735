"""Ask for a URL to upload a session's audio to."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from core.clock import Clock
from core.metering.account import Account, static_value
from core.metering.idempotency import Idempotency
from core.metering.use_case import AccountUseCase
from core.plans.features import MAX_FILE_SIZE_MB, MINUTES
from core.sessions.ports import SessionsUnitOfWork, UploadStore
from core.sessions.session import Session
from core.sessions.session_command import found
from core.sessions.uploads import UploadGrant, UploadTarget, require_media, require_size

URL_VALID_FOR: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class RequestUploadCommand:
    """What the file will be."""

    customer_id: str
    session_id: UUID
    content_type: str
    size_bytes: int
    idempotency: Idempotency | None = None


class RequestUpload(AccountUseCase[RequestUploadCommand, UploadTarget, SessionsUnitOfWork, dict[UUID, Session]]):
    """Hand out a signed URL for one file of this type and at most this size.

    - Audio and video only, and no larger than the plan allows.
    - Only while the session still waits for its upload.
    - The URL is good for 15 minutes.
    """

    def __init__(self, unit_of_work: Callable[[], SessionsUnitOfWork], clock: Clock, uploads: UploadStore) -> None:
        super().__init__(unit_of_work, clock)
        self._uploads = uploads

    def features(self, command: RequestUploadCommand) -> Collection[str]:
        return (MINUTES.key,)

    async def read(self, commands: Sequence[RequestUploadCommand], uow: SessionsUnitOfWork) -> dict[UUID, Session]:
        return await uow.sessions.find((command.customer_id, command.session_id) for command in commands)

    def decide(self, command: RequestUploadCommand, account: Account, facts: dict[UUID, Session], uow: SessionsUnitOfWork) -> UploadTarget:
        session = found(command.customer_id, command.session_id, facts)
        session.require_uploading()
        require_media(command.content_type)
        max_file_size_mb = static_value(account.plan, MAX_FILE_SIZE_MB)
        require_size(command.size_bytes, max_file_size_mb)
        grant = UploadGrant(
            session.customer_id,
            session.id,
            command.content_type,
            command.size_bytes,
            max_file_size_mb,
            account.now + URL_VALID_FOR,
        )
        return self._uploads.target(grant)
