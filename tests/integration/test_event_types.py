"""How event types are mapped, and that what is mapped is kept as it was said, for every process at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import NamedTuple

import pytest

from core.metering.event_types import EventMeter, EventType
from core.metering.map_event_types import MapEventTypes
from core.metering.ports import EventTypeReader, EventTypesUnitOfWork
from core.products import BUILT_IN, OPTIONS
from infrastructure.ids import new_id
from infrastructure.sql.engine.event_types import SqlEventTypeReader
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.unit_of_work import SqlUnitOfWork
from infrastructure.sql.registry import REPOSITORIES
from tests.integration.units_of_work import connections_to

PROMPT = EventType("prompt", (EventMeter("tokens", "data.usage.total", "data.model"), EventMeter("sessions", Decimal("0.25"))))
UPLOAD = EventType("upload.done", (EventMeter("exports"),))


class Types(NamedTuple):
    unit_of_work: Callable[[], EventTypesUnitOfWork]
    reader: EventTypeReader

    async def map(self, *types: EventType) -> None:
        await MapEventTypes(self.unit_of_work).execute(types)


@pytest.fixture
async def types(database_url: str) -> AsyncIterator[Types]:
    catalog = PlanCatalog(BUILT_IN, OPTIONS)
    async with connections_to(database_url) as connections:
        yield Types(lambda: SqlUnitOfWork(connections, catalog, new_id, REPOSITORIES), SqlEventTypeReader(connections))


async def test_types_are_found_as_they_were_mapped(types: Types) -> None:
    await types.map(PROMPT, UPLOAD)
    assert await types.reader.mapped() == {"prompt": PROMPT, "upload.done": UPLOAD}


async def test_a_type_is_mapped_anew_and_others_stay(types: Types) -> None:
    await types.map(PROMPT, UPLOAD)
    anew = EventType("prompt", (EventMeter("sessions", "data.n"),))
    await types.map(anew)
    assert await types.reader.mapped() == {"prompt": anew, "upload.done": UPLOAD}


async def test_a_type_without_meters_is_mapped_to_nothing(types: Types) -> None:
    await types.map(PROMPT)
    await types.map(EventType("prompt", ()))
    assert await types.reader.mapped() == {}


async def test_processes_that_map_the_same_types_at_once_all_succeed(types: Types) -> None:
    await asyncio.gather(*(types.map(PROMPT, UPLOAD) for _ in range(8)))
    assert await types.reader.mapped() == {"prompt": PROMPT, "upload.done": UPLOAD}
