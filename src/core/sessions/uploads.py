"""What may be uploaded, and the promise that an upload URL makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from core.errors import DomainError

BYTES_PER_MB: Final = 1_000_000
MEDIA_TYPES: Final = ("audio/", "video/")


class FileSizeExceeded(DomainError):
    """The file is larger than the plan grants, or larger than the upload URL was signed for."""

    refused_by_plan = True

    def __init__(self, max_file_size_mb: Decimal, size_bytes: int, max_size_bytes: int) -> None:
        super().__init__(max_file_size_mb, size_bytes, max_size_bytes)
        self.max_file_size_mb, self.size_bytes, self.max_size_bytes = max_file_size_mb, size_bytes, max_size_bytes
        self.message = f"File size exceeded: {size_bytes:,} bytes, and {max_size_bytes:,} are allowed (plan: {max_file_size_mb:f} MB)."

    def facts(self) -> Mapping[str, object]:
        return {"max_file_size_mb": self.max_file_size_mb, "size_bytes": self.size_bytes, "max_size_bytes": self.max_size_bytes}


class UnsupportedMediaType(DomainError):
    """The file is neither audio nor video."""

    def __init__(self, content_type: str) -> None:
        super().__init__(content_type)
        self.content_type = content_type
        self.message = f"Audio or video is expected, not {content_type!r}."

    def facts(self) -> Mapping[str, object]:
        return {"content_type": self.content_type}


class InvalidUploadUrl(DomainError):
    """The upload URL was not made here, was altered, or is used for another type of content than it was signed for."""

    message = "This upload URL is not valid for this upload: ask for a new one."


class UploadUrlExpired(DomainError):
    """The upload URL was valid once."""

    message = "This upload URL has expired: ask for a new one."


class UploadInterrupted(DomainError):
    """The connection ended before the file had arrived; nothing of it is kept."""

    message = "The upload ended before the whole file had arrived. Nothing was kept; upload it again."


class UploadInProgress(DomainError):
    """Another upload for the same session has not ended yet."""

    message = "Another upload for this session is under way: wait until it has ended, or start again if it stands still."


@dataclass(frozen=True, slots=True)
class UploadGrant:
    """Leave to upload one file for one session until `expires_at`, of this type and at most this size."""

    customer_id: str
    session_id: UUID
    content_type: str
    max_size_bytes: int
    max_file_size_mb: Decimal
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where and how the caller sends the bytes."""

    url: str
    method: str
    headers: Mapping[str, str]
    grant: UploadGrant


def require_media(content_type: str) -> None:
    """Raises UnsupportedMediaType."""
    if not content_type.lower().startswith(MEDIA_TYPES):
        raise UnsupportedMediaType(content_type)


def require_size(size_bytes: int, max_file_size_mb: Decimal) -> None:
    """Raises FileSizeExceeded."""
    max_size_bytes = int(max_file_size_mb * BYTES_PER_MB)
    if size_bytes > max_size_bytes:
        raise FileSizeExceeded(max_file_size_mb, size_bytes, max_size_bytes)
