"""Lists, a page at a time."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from api.wire import Page, from_cursor, to_cursor
from core.metering.reader import Position, Reader

V = TypeVar("V")


def page(found: Sequence[V], limit: int, position: Callable[[V], Position]) -> Page[V]:
    """Of up to `limit + 1` things: one more than there is room for says that a page follows."""
    shown = found[:limit]
    following = to_cursor(*position(shown[-1])) if len(found) > limit else None
    return Page(items=list(shown), next_cursor=following)


async def page_of(reader: Reader[Any, V], customer_id: str, limit: int, cursor: str | None) -> Page[V]:
    """A page of the customer's own, newest first."""
    found = await reader.newest(customer_id, limit + 1, from_cursor(cursor))
    return page(found, limit, reader.position)
