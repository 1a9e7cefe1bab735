"""Reads of one kind of thing, outside of any transaction."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, Generic, TypeVar

from core.errors import NotFoundError

K = TypeVar("K", bound=tuple[Any, ...])
V = TypeVar("V")

Position = tuple[datetime, Any]
"""Where a page of a list ended: the instant that the list is in the order of, and the id of the last thing on the page."""


class Reader(ABC, Generic[K, V]):
    """Things as they stand. A key begins with the customer's id, so that nobody finds what is another customer's."""

    missing: Callable[[str], NotFoundError]
    """Makes what is raised where there is no such thing, from the id that was asked for."""

    newest_by: ClassVar[str]
    """The field of instants that lists are in the order of; things of one instant are in the order of their ids."""

    @abstractmethod
    async def get(self, key: K) -> V:
        """Raises what `missing` makes."""

    @abstractmethod
    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[V]:
        """A page of the customer's own, newest first: those that come after the position. Raises CustomerNotFound."""

    def position(self, value: V) -> Position:
        """Where a page ends whose last thing this is."""
        position: Position = attrgetter(self.newest_by, "id")(value)
        return position
