"""A coaching session: created, its audio uploaded, and transcribed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from core.errors import DomainError, NotFoundError


class SessionNotFound(NotFoundError):
    """The customer has no coaching session with this id."""

    noun = "coaching session"


class SessionKey(NamedTuple):
    """A customer's own session: the id is ours, and is looked up with its customer, so that nobody finds another's."""

    customer_id: str
    id: UUID


class SttProvider(StrEnum):
    """Who turns speech into text."""

    GOOGLE = "google"
    ASSEMBLYAI = "assemblyai"
    WHISPER = "whisper"
    AUTO = "auto"


class SessionStatus(StrEnum):
    """Where a session stands. It only moves forward: uploading, pending, and then completed or failed for good."""

    UPLOADING = "uploading"
    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class InvalidSessionState(DomainError):
    """The session is past the point where this could be done."""

    def __init__(self, id: UUID, status: SessionStatus, action: str) -> None:
        super().__init__(id, status, action)
        self.id, self.status = id, status
        self.message = f"A session that is {status.value} cannot {action}."

    def facts(self) -> Mapping[str, object]:
        return {"session_id": str(self.id), "status": self.status.value}


class UploadMissing(DomainError):
    """The upload was confirmed before any file had arrived."""

    def __init__(self, id: UUID) -> None:
        super().__init__(id)
        self.id = id
        self.message = "No file has arrived for this session: upload it to the upload URL first."

    def facts(self) -> Mapping[str, object]:
        return {"session_id": str(self.id)}


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that has arrived whole. `id` is ours; the caller's file name is never used."""

    id: UUID
    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Session:
    """One coaching session of one customer."""

    id: UUID
    customer_id: str
    title: str
    language: str
    stt_provider: SttProvider
    created_at: datetime
    status: SessionStatus = SessionStatus.UPLOADING
    file: UploadedFile | None = None
    duration_seconds: int | None = None
    failure_reason: str | None = None
    finished_at: datetime | None = None

    def require_uploading(self) -> None:
        """Raises InvalidSessionState where the upload has been confirmed, or the session is finished."""
        if self.status is not SessionStatus.UPLOADING:
            raise InvalidSessionState(self.id, self.status, "take an upload")

    def with_file(self, file: UploadedFile) -> "Session":
        """A file arrived; until it is confirmed, a further one takes its place."""
        self.require_uploading()
        return replace(self, file=file)

    def confirmed(self) -> "Session":
        """Confirming twice changes nothing. Raises UploadMissing or InvalidSessionState."""
        if self.status is SessionStatus.PENDING:
            return self
        if self.status is not SessionStatus.UPLOADING:
            raise InvalidSessionState(self.id, self.status, "be confirmed")
        if self.file is None:
            raise UploadMissing(self.id)
        return replace(self, status=SessionStatus.PENDING)

    def completed(self, duration_seconds: int, now: datetime) -> "Session":
        """Completing again with the same duration changes nothing; with another, or after failing: InvalidSessionState."""
        if self.status is SessionStatus.COMPLETED and self.duration_seconds == duration_seconds:
            return self
        if self.status in (SessionStatus.COMPLETED, SessionStatus.FAILED):
            raise InvalidSessionState(self.id, self.status, f"be completed with a duration of {duration_seconds} s")
        return replace(self, status=SessionStatus.COMPLETED, duration_seconds=duration_seconds, finished_at=now)

    def failed(self, reason: str, now: datetime) -> "Session":
        """Failing again changes nothing, whatever the reason. Raises InvalidSessionState where it is completed."""
        if self.status is SessionStatus.FAILED:
            return self
        if self.status is SessionStatus.COMPLETED:
            raise InvalidSessionState(self.id, self.status, "fail")
        return replace(self, status=SessionStatus.FAILED, failure_reason=reason, finished_at=now)
