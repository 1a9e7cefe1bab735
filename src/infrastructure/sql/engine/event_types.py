"""Event types in PostgreSQL. They belong to no customer: on Citus, a reference table."""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from asyncpg import Record
from sqlalchemy import Column, Table, Text
from sqlalchemy.dialects.postgresql import JSON

from core.metering.event_types import EventMeter, EventType, EventTypes
from core.metering.journal import Journal
from core.metering.ports import EventTypeReader
from infrastructure.batching.gathering import Gathering
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import Change, Rows
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement

event_type: Final = Table("event_type", metadata, Column("key", Text, primary_key=True), Column("meters", JSON, nullable=False))

_ALL: Final = HotStatement("SELECT * FROM event_type ORDER BY key")


def _from_type(mapped: EventType) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    meters = [
        {
            "feature": meter.feature,
            **({"path": meter.quantity} if isinstance(meter.quantity, str) else {"quantity": str(meter.quantity)}),
            "dimension": meter.dimension,
        }
        for meter in mapped.meters
    ]
    return mapped.key, json.dumps(meters)


def _to_type(row: Record) -> EventType:
    meters = [
        EventMeter(
            feature=stored["feature"],
            quantity=stored["path"] if "path" in stored else Decimal(stored["quantity"]),
            dimension=stored["dimension"],
        )
        for stored in row["meters"]
    ]
    return EventType(row["key"], tuple(meters))


_ROWS: Final = Rows(event_type, _from_type, _to_type, changing=("meters",))


class SqlEventTypes(EventTypes):
    """Within the transaction of a unit of work."""

    def __init__(self, journal: Journal, driver: Driver) -> None:
        super().__init__(journal)
        self._driver = driver

    async def find(self, keys: Sequence[str]) -> list[EventType]:
        return await _ROWS.find(self._driver, [(key,) for key in keys])

    def changes(self) -> Iterable[Change]:
        """What the commit has to write."""
        if saved := self.saved():
            yield _ROWS.put(saved)


class SqlEventTypeReader(EventTypeReader):
    """Read anew for each request with events, together for those that ask at the same time: a new mapping holds at once, everywhere."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._gathering: Gathering[None, Mapping[str, EventType]] = Gathering(self._read)

    async def mapped(self) -> Mapping[str, EventType]:
        return await self._gathering.ask(None)

    async def _read(self, asked: Sequence[None]) -> Sequence[Mapping[str, EventType]]:
        rows = await self._connections.ask(lambda driver: _ALL.fetch(driver, {}))
        types = {mapped.key: mapped for mapped in map(_to_type, rows) if mapped.meters}
        return [types] * len(asked)
