"""The ledger, page by page, while it is written to: nothing that was there at the start is left out or comes twice."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from core.metering.account import CustomerNotFound
from core.metering.ledger import LedgerQuery, UsageRecord
from tests.integration.in_process import NOW, Engine, engine_on, record
from tests.integration.service import Service, new_id
from tests.unit.fakes.calls import calls


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def acme(engine: Engine) -> str:
    return await engine.customer(calls=None, pages=None)


async def book(engine: Engine, *commands: Any) -> list[UsageRecord]:
    outcomes = await engine.container.consume_usage().execute(calls(*commands))
    return [booked for outcome in outcomes for booked in outcome.records]


async def pages(engine: Engine, query: LedgerQuery) -> AsyncIterator[list[UsageRecord]]:
    while page := list(await engine.container.ledger_reader().newest(query)):
        yield page
        query = replace(query, before=(page[-1].occurred_at, page[-1].id))


async def listed(engine: Engine, query: LedgerQuery) -> list[UUID]:
    return [entry.id async for page in pages(engine, query) for entry in page]


async def test_pages_keep_to_what_was_there_while_others_write(engine: Engine, acme: str) -> None:
    """New records come before, among and after those that were read, many of them at the same instant."""
    choice = Random(7)

    def some() -> Any:
        days = timedelta(days=choice.randint(-30, 0))
        return record(acme, choice.choice(["calls", "pages"]), occurred_at=NOW + days)

    before = await book(engine, *(some() for _ in range(300)))
    read: list[UsageRecord] = []
    async for page in pages(engine, LedgerQuery(acme, 7)):
        read += page
        await book(engine, *(some() for _ in range(5)))
    ids = [entry.id for entry in read]
    assert len(set(ids)) == len(ids)
    assert {entry.id for entry in before} <= set(ids)
    assert [(entry.occurred_at, entry.id) for entry in read] == sorted(((entry.occurred_at, entry.id) for entry in read), reverse=True)


async def test_pages_are_stable_while_two_processes_write_at_full_speed(engine: Engine, acme: str, database_url: str) -> None:
    before = {entry.id for entry in await book(engine, *(record(acme, "calls") for _ in range(200)))}
    reading = True
    async with engine_on(database_url) as other:

        async def write(writer: Engine) -> None:
            while reading:
                await book(writer, *(record(acme, "calls") for _ in range(20)))

        writers = [asyncio.create_task(write(writer)) for writer in (engine, other)]
        for size in (3, 10, 50):
            ids = await listed(engine, LedgerQuery(acme, size, until=NOW + timedelta(seconds=1)))
            assert len(set(ids)) == len(ids)
            assert before <= set(ids)
        reading = False
        await asyncio.gather(*writers)


async def test_filters_are_half_open_and_go_together(engine: Engine, acme: str) -> None:
    days = [NOW - timedelta(days=n) for n in range(5)]
    for day in days:
        await book(engine, record(acme, "calls", occurred_at=day), record(acme, "pages", occurred_at=day))
    query = LedgerQuery(acme, 3, feature="calls", since=days[3], until=days[1])
    found = [entry async for page in pages(engine, query) for entry in page]
    assert [(entry.feature, entry.occurred_at) for entry in found] == [("calls", days[2]), ("calls", days[3])]
    assert len(await listed(engine, LedgerQuery(acme, 3))) == 10
    assert await listed(engine, LedgerQuery(acme, 3, feature="unheard_of")) == []


async def test_a_ledger_is_its_customers_own(engine: Engine, acme: str) -> None:
    globex = await engine.customer(calls=None)
    await book(engine, record(acme, "calls"), record(globex, "calls"))
    assert len(await listed(engine, LedgerQuery(acme, 10))) == 1
    with pytest.raises(CustomerNotFound):
        await engine.container.ledger_reader().newest(LedgerQuery("nobody", 10))


def test_over_http_every_record_is_listed_once(service: Service) -> None:
    customer, path = new_id(), "/api/v1/customers"
    assert service.admin.put(f"{path}/{customer}", json={"plan": "pro"}).status_code == 201
    item = {"customer_id": customer, "usage": [{"feature": "sessions", "quantity": 1}], "mode": "record"}
    assert service.admin.post("/api/v1/usage/batch", json={"items": [item] * 45}).status_code == 200
    ids: list[str] = []
    cursor = None
    while cursor is not None or not ids:
        query = {"limit": 10} | ({"cursor": cursor} if cursor else {})
        page = service.admin.get(f"{path}/{customer}/usage/records", params=query).json()
        ids += [entry["id"] for entry in page["items"]]
        cursor = page["next_cursor"]
        service.admin.post("/api/v1/usage/batch", json={"items": [item]})
    assert len(set(ids)) == len(ids) == 45
