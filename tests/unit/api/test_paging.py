"""A list is answered a page at a time, and the last page says that it is the last."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from api.paging import page, page_of
from api.wire import from_cursor
from core.metering.reader import Position, Reader
from tests.unit.fakes.examples import NOW


class Thing(NamedTuple):
    started_at: Any
    id: UUID


THINGS = [Thing(NOW, UUID(int=number)) for number in (3, 2, 1)]


class Things(Reader[Any, Thing]):
    newest_by = "started_at"

    async def get(self, key: Any) -> Thing:
        raise NotImplementedError

    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[Thing]:
        assert customer_id == "acme"
        return [thing for thing in THINGS if before is None or thing < before][:limit]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (4, [3])])
async def test_pages_show_everything_once_and_the_last_one_leads_nowhere(limit: int, sizes: list[int]) -> None:
    pages = [await page_of(Things(), "acme", limit, None)]
    while pages[-1].next_cursor:
        pages.append(await page_of(Things(), "acme", limit, pages[-1].next_cursor))
    assert [len(page.items) for page in pages] == sizes
    assert [thing for page in pages for thing in page.items] == THINGS


def test_a_cursor_is_the_position_of_the_last_thing_that_is_shown() -> None:
    shown = page(THINGS, 2, lambda thing: (thing.started_at, thing.id))
    assert from_cursor(shown.next_cursor) == THINGS[1]


def test_nothing_is_a_page_too() -> None:
    empty = page([], 2, Things().position)
    assert (empty.items, empty.next_cursor) == ([], None)


def test_each_item_is_answered_in_its_own_form_and_the_page_leads_on() -> None:
    shown = page(THINGS, 2, Things().position)
    answered = shown.each(lambda thing: thing.id.int)
    assert (answered.items, answered.next_cursor) == ([3, 2], shown.next_cursor)
