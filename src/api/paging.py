"""Lists, a page at a time."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from api.wire import Page, from_cursor, to_cursor
from core.metering.reader import Position, Reader

V = TypeVar("V")

_DIGITS_MAX: Final = 9


def page(found: Sequence[V], limit: int, position: Callable[[V], Position]) -> Page[V]:
    """Of up to `limit + 1` things: one more than there is room for says that a page follows."""
    shown = found[:limit]
    following = to_cursor(*position(shown[-1])) if len(found) > limit else None
    return Page(items=list(shown), next_cursor=following)


def read_number(text: str) -> int:
    """The number of a thing in a list that counts its things, out of a cursor. Raises ValueError."""
    if not (text.isdecimal() and text.isascii() and len(text) <= _DIGITS_MAX):
        raise ValueError(text)
    return int(text)


async def page_of(reader: Reader[Any, V], customer_id: str, limit: int, cursor: str | None) -> Page[V]:
    """A page of the customer's own, newest first."""
    found = await reader.newest(customer_id, limit + 1, from_cursor(cursor))
    return page(found, limit, reader.position)
