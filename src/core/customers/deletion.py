"""Deleting a customer: at once for everybody who asks, and by and by for what is kept of it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from core.errors import DomainError


class CustomerBeingDeleted(DomainError):
    """A customer of this id was deleted, and not everything that was kept of it is gone yet."""

    def __init__(self, customer_id: str) -> None:
        super().__init__(customer_id)
        self.message = f"Customer {customer_id!r} was deleted, and not all that was kept of it is gone yet: try again shortly."


class CustomerDeletions(ABC):
    """Deletions that have been asked for."""

    @abstractmethod
    async def begin(self, customer_id: str, at: datetime, by: str, *, keeps_sums: bool) -> None:
        """From now on there is no such customer, and all that is kept of it goes, whatever happens to this process.

        `keeps_sums`: how much was used of each feature in each month, of all deleted customers together, stays. Raises CustomerNotFound.
        """


class FilePiece(NamedTuple):
    """A part of an uploaded file: of which session, which file, and from which byte on."""

    session_id: UUID
    file_id: UUID
    offset: int
    content: bytes


class CustomerFiles(ABC):
    """The uploaded files of one customer."""

    @abstractmethod
    async def discard_some(self, customer_id: str, limit: int) -> bool:
        """Removes so many files at most; whether there was anything to remove. Raises StorageUnavailable."""

    @abstractmethod
    def pieces(self, customer_id: str) -> AsyncIterator[FilePiece]:
        """All files, piece by piece, none of which is large. Raises StorageUnavailable."""


class CustomerRows(ABC):
    """Everything but files that is kept of one customer."""

    @abstractmethod
    def lines(self, customer_id: str) -> AsyncIterator[bytes]:
        """A line for each row of each table, a bounded number of rows at a time.

        What is written meanwhile may be there or not. Raises CustomerNotFound before the first one.
        """
