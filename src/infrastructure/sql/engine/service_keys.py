"""Service keys in PostgreSQL. They belong to no customer: on Citus, a reference table."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Column, DateTime, LargeBinary, Row, Table, Text, Uuid, any_, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access.ports import ServiceKeys
from core.access.service_keys import Scope, ServiceKey
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.pool import autocommitting
from infrastructure.sql.driver.schema import metadata

service_key: Final = Table(
    "service_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("scope", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)

# An array, and not IN (…), so that any number of ids is one prepared statement.
_AMONG_IDS: Final = select(service_key).where(service_key.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))))


class SqlServiceKeys(ServiceKeys):
    """Each method is one statement, and so a transaction of its own without a round trip for its beginning and end."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = autocommitting(engine)

    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        with storage_errors():
            async with self._engine.connect() as connection:
                return {row.id: _to_key(row) for row in await connection.execute(_AMONG_IDS, {"ids": ids})}

    async def add(self, key: ServiceKey) -> None:
        with storage_errors():
            async with self._engine.connect() as connection:
                await connection.execute(insert(service_key).values(_to_row(key)))

    async def all(self) -> Sequence[ServiceKey]:
        oldest_first = select(service_key).order_by(service_key.c.created_at, service_key.c.id)
        with storage_errors():
            async with self._engine.connect() as connection:
                return [_to_key(row) for row in await connection.execute(oldest_first)]

    async def revoke(self, id: UUID, at: datetime) -> bool:
        revoked_at = func.coalesce(service_key.c.revoked_at, at)
        statement = update(service_key).where(service_key.c.id == id).values(revoked_at=revoked_at).returning(service_key.c.id)
        with storage_errors():
            async with self._engine.connect() as connection:
                return (await connection.execute(statement)).one_or_none() is not None


def _to_row(key: ServiceKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scope": key.scope.value,
        "secret_hash": key.secret_hash,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }


def _to_key(row: Row[Any]) -> ServiceKey:
    return ServiceKey(
        id=row.id, name=row.name, scope=Scope(row.scope), secret_hash=row.secret_hash, created_at=row.created_at, revoked_at=row.revoked_at
    )
