"""Things of a customer's own that are kept just as they are: for a kind of them that asks for no more than this.

A product whose storage has questions of its own to answer declares ports instead, as `core/sessions/ports.py` does.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

from core.errors import NotFoundError
from core.metering.reader import Reader
from core.metering.repository import Repository


class Owned(Protocol):
    """It belongs to one customer, has an id of our making, and was created at an instant."""

    @property
    def id(self) -> UUID: ...

    @property
    def customer_id(self) -> str: ...

    @property
    def created_at(self) -> datetime: ...


V = TypeVar("V", bound=Owned)


class OwnedKey(NamedTuple):
    """A customer's own thing: it is looked up with its customer, so that nobody finds another's."""

    customer_id: str
    id: UUID


class OwnedNotFound(NotFoundError):
    """The customer has no such thing with this id. `kind` says what kind of thing, in words with underscores between them."""

    def __init__(self, kind: str, identity: str) -> None:
        self.kind, self.noun = kind, kind.replace("_", " ")
        super().__init__(identity)


class OwnedRepository(Repository[OwnedKey, V]):
    """Things of one kind inside a unit of work. Whoever changes one has a counter of its customer's locked."""

    def key(self, value: V) -> OwnedKey:
        return OwnedKey(value.customer_id, value.id)


class OwnedReader(Reader[OwnedKey, V]):
    """Things of one kind as they stand, newest first by when they were created."""

    missing: Callable[[str], OwnedNotFound]
    newest_by = "created_at"

    async def one(self, customer_id: str, id: str) -> V:
        """By an id as a caller wrote it: what is no UUID is the id of nothing. Raises what `missing` makes."""
        try:
            key = OwnedKey(customer_id, UUID(id))
        except ValueError:
            raise self.missing(id) from None
        return await self.get(key)
