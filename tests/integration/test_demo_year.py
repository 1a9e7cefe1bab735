"""The year of demo data: what pages say of it are plain sums, and its books agree."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from api.commands import plans
from api.container import Container, closed
from api.demo.year import CHARACTERS, Year
from api.settings import Settings
from core.history.buckets import By
from core.history.read_history import HistoryQuery
from tests.integration.service import PLANS, Database

NOW = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
DAYS = 70


@pytest.fixture
async def container(database_url: str) -> AsyncIterator[Container]:
    container = Container(settings=Settings(database_url=database_url))
    yield container
    await closed(container)


async def played(container: Container, days: int = DAYS) -> int:
    year = Year(container, NOW, days=days)
    container.clock.override(lambda: year.now)
    await plans.push(container, PLANS)
    assert not await year.is_there()
    booked = await year.play(lambda day, of: None)
    assert await year.is_there()
    return booked


async def test_what_is_shown_are_plain_sums_and_the_books_agree(container: Container, database_url: str) -> None:
    assert await played(container) > 1_000
    rows = await asyncio.to_thread(
        Database(database_url).rows,
        "SELECT customer_id, feature, sum(quantity)::bigint AS total, count(DISTINCT dimension) AS kinds FROM usage_record GROUP BY 1, 2",
    )
    known = {(row["customer_id"], row["feature"]): row["total"] for row in rows}
    assert len(known) >= 12
    shown: dict[tuple[str, str], int] = {}
    for character in CHARACTERS:
        query = HistoryQuery(character.id, by=By.DAY, since=NOW - timedelta(days=DAYS + 5))
        for item in await container.read_history().execute(query):
            key = character.id, item.feature.key
            shown[key] = shown.get(key, 0) + item.standing.used
    assert {key: total for key, total in shown.items() if total} == {key: total for key, total in known.items() if total}
    assert await container.reconcile().find([character.id for character in CHARACTERS]) == []


async def test_the_same_seed_is_the_same_year(databases: object, container: Container, database_url: str) -> None:
    await played(container, days=8)
    statement = "SELECT customer_id, feature, quantity, occurred_at, dimension FROM usage_record ORDER BY 1, 2, 4, 3, 5"
    one = await asyncio.to_thread(Database(database_url).rows, statement)
    other_url = await asyncio.to_thread(databases.fresh)  # type: ignore[attr-defined]
    other = Container(settings=Settings(database_url=other_url))
    await played(other, days=8)
    await closed(other)
    assert one == await asyncio.to_thread(Database(other_url).rows, statement)
