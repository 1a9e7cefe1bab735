"""Portal sessions in PostgreSQL."""

from datetime import datetime
from typing import Final
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Column, DateTime, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, Uuid

from core.metering.account import CustomerNotFound
from core.portal.portal_session import PortalSession, PortalSessionNotFound, Theme
from core.portal.ports import PortalSessions
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import HotStatement

portal_session: Final = Table(
    "portal_session",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("locale", Text),
    Column("theme", Text, nullable=False),
    Column("embed_origins", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("customer_id", "id"),
    Index("ix_portal_session_id", "id"),
    Index("ix_portal_session_expires_at", "expires_at"),
)

# Repeated where the connection is lost before the answer: the second one finds the row there, and says so, too.
_ADD: Final = HotStatement(
    """
    INSERT INTO portal_session (customer_id, id, secret_hash, locale, theme, embed_origins, created_at, created_by, expires_at)
    SELECT c.customer_id, CAST(:id AS uuid), CAST(:secret_hash AS bytea), CAST(:locale AS text), CAST(:theme AS text),
        CAST(:embed_origins AS text), CAST(:created_at AS timestamptz), CAST(:created_by AS text), CAST(:expires_at AS timestamptz)
    FROM customer AS c WHERE c.customer_id = :customer_id
    ON CONFLICT (customer_id, id) DO UPDATE SET id = excluded.id
    RETURNING 1
    """
)
_FIND: Final = HotStatement("SELECT * FROM portal_session WHERE id = :id")
_END: Final = HotStatement(
    """
    UPDATE portal_session SET ended_at = coalesce(ended_at, CAST(:at AS timestamptz)) WHERE customer_id = :customer_id AND id = :id
    RETURNING 1
    """
)


class SqlPortalSessions(PortalSessions):
    """Each method is one statement."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def add(self, session: PortalSession) -> None:
        values = {
            "id": session.id,
            "customer_id": session.customer_id,
            "secret_hash": session.secret_hash,
            "locale": session.locale,
            "theme": session.theme.value,
            "embed_origins": " ".join(session.embed_origins),
            "created_at": session.created_at,
            "created_by": session.created_by,
            "expires_at": session.expires_at,
        }
        if not await self._connections.ask(lambda driver: _ADD.fetch(driver, values)):
            raise CustomerNotFound(session.customer_id)

    async def find(self, id: UUID) -> PortalSession | None:
        rows = await self._connections.ask(lambda driver: _FIND.fetch(driver, {"id": id}))
        return _to_session(rows[0]) if rows else None

    async def end(self, customer_id: str, id: UUID, at: datetime) -> None:
        values = {"customer_id": customer_id, "id": id, "at": at}
        if not await self._connections.ask(lambda driver: _END.fetch(driver, values)):
            raise PortalSessionNotFound(str(id))


def _to_session(row: Record) -> PortalSession:
    return PortalSession(
        id=row["id"],
        customer_id=row["customer_id"],
        secret_hash=row["secret_hash"],
        locale=row["locale"],
        theme=Theme(row["theme"]),
        embed_origins=tuple(row["embed_origins"].split()),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
    )
