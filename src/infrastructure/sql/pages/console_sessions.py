"""Console sessions in PostgreSQL. They belong to no customer: on Citus, a reference table."""

from typing import Final
from uuid import UUID

from sqlalchemy import Column, DateTime, Index, LargeBinary, Table, Uuid

from core.access.console_session import ConsoleSession
from core.access.ports import ConsoleSessions
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import Rows
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import HotStatement

console_session: Final = Table(
    "console_session",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("key_id", Uuid),
    Column("key_hash", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index("ix_console_session_expires_at", "expires_at"),
)

_ROWS: Final = Rows.alike(console_session, ConsoleSession, changing=())
_ADD: Final = HotStatement(
    """
    INSERT INTO console_session (id, secret_hash, key_id, key_hash, created_at, expires_at)
    VALUES (:id, :secret_hash, :key_id, :key_hash, :created_at, :expires_at) ON CONFLICT (id) DO NOTHING
    """
)
_FIND: Final = HotStatement("SELECT * FROM console_session WHERE id = :id")
_END: Final = HotStatement("DELETE FROM console_session WHERE id = :id")


class SqlConsoleSessions(ConsoleSessions):
    """Each method is one statement."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def add(self, session: ConsoleSession) -> None:
        values = {
            "id": session.id,
            "secret_hash": session.secret_hash,
            "key_id": session.key_id,
            "key_hash": session.key_hash,
            "created_at": session.created_at,
            "expires_at": session.expires_at,
        }
        await self._connections.ask(lambda driver: _ADD.fetch(driver, values))

    async def find(self, id: UUID) -> ConsoleSession | None:
        rows = await self._connections.ask(lambda driver: _FIND.fetch(driver, {"id": id}))
        return _ROWS.from_row(rows[0]) if rows else None

    async def end(self, id: UUID) -> None:
        await self._connections.ask(lambda driver: _END.fetch(driver, {"id": id}))
