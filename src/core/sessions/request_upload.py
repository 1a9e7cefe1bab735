"""Ask for a URL to upload a session's audio to."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from core.clock import Clock
from core.metering.account import Account
from core.metering.entitlements import static_value
from core.sessions.features import MAX_FILE_SIZE_MB
from core.sessions.ports import SessionsUnitOfWork, UploadStore
from core.sessions.session_command import SessionUseCase
from core.sessions.uploads import UploadGrant, UploadTarget, require_media, require_size

URL_VALID_FOR: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class RequestUploadCommand:
    """What the file will be."""

    customer_id: str
    session_id: UUID
    content_type: str
    size_bytes: int


class RequestUpload(SessionUseCase[RequestUploadCommand, UploadTarget]):
    """Hand out a signed URL for one file of this type and at most this size.

    - Audio and video only, and no larger than the plan allows.
    - Only while the session still waits for its upload.
    - The URL is good for 15 minutes.
    """

    def __init__(self, unit_of_work: Callable[[], SessionsUnitOfWork], clock: Clock, uploads: UploadStore) -> None:
        super().__init__(unit_of_work, clock)
        self._uploads = uploads

    def decide(self, command: RequestUploadCommand, account: Account, uow: SessionsUnitOfWork) -> UploadTarget:
        session = self.session(command, uow)
        session.require_uploading()
        require_media(command.content_type)
        max_file_size_mb = static_value(account.plan, MAX_FILE_SIZE_MB)
        require_size(command.size_bytes, max_file_size_mb)
        grant = UploadGrant(
            customer_id=session.customer_id,
            session_id=session.id,
            content_type=command.content_type,
            max_size_bytes=command.size_bytes,
            max_file_size_mb=max_file_size_mb,
            expires_at=account.now + URL_VALID_FOR,
        )
        return self._uploads.target(grant)
