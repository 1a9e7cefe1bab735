"""Service keys in PostgreSQL. They belong to no customer: on Citus, a reference table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Column, DateTime, LargeBinary, Table, Text, Uuid

from core.access.ports import ServiceKeyReader, ServiceKeys
from core.access.service_keys import ServiceKey
from core.metering.journal import Journal
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import Change, Rows
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement

service_key: Final = Table(
    "service_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("scope", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
)

_LOCK: Final = HotStatement("SELECT * FROM service_key WHERE id = :id FOR UPDATE")
_OLDEST_FIRST: Final = HotStatement("SELECT * FROM service_key ORDER BY created_at, id")


_ROWS: Final = Rows.alike(service_key, ServiceKey, changing=("revoked_at", "expires_at"))


async def _find(driver: Driver, ids: Sequence[UUID]) -> list[ServiceKey]:
    return await _ROWS.find(driver, [(id,) for id in ids]) if ids else []


class SqlServiceKeys(ServiceKeys):
    """Within the transaction of a unit of work."""

    def __init__(self, journal: Journal, driver: Driver) -> None:
        super().__init__(journal)
        self._driver = driver

    async def find(self, keys: Sequence[UUID]) -> Iterable[ServiceKey]:
        return await _find(self._driver, keys)

    async def lock(self, id: UUID) -> None:
        rows = await _LOCK.fetch(self._driver, {"id": id})
        self._known[id] = _ROWS.from_row(rows[0]) if rows else None

    def changes(self) -> Iterable[Change]:
        """What the commit has to write."""
        saved = self.saved()
        if saved:
            yield _ROWS.put(saved)


class SqlServiceKeyReader(ServiceKeyReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        return {key.id: key for key in await self._connections.ask(lambda driver: _find(driver, ids))}

    async def all(self) -> Sequence[ServiceKey]:
        rows = await self._connections.ask(lambda driver: _OLDEST_FIRST.fetch(driver, {}))
        return [_ROWS.from_row(row) for row in rows]
