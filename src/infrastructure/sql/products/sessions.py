"""Coaching sessions in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Index, PrimaryKeyConstraint, Row, Table, Text, Uuid, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.sessions.ports import SessionReader, Sessions
from core.sessions.session import Session, SessionNotFound, SessionStatus, SttProvider, UploadedFile
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.schema import metadata

coaching_session: Final = Table(
    "coaching_session",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("title", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("stt_provider", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("file_id", Uuid),
    Column("file_content_type", Text),
    Column("file_size_bytes", BigInteger),
    Column("duration_seconds", BigInteger),
    Column("failure_reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("customer_id", "id"),
    Index("ix_coaching_session_newest", "customer_id", text("created_at DESC"), text("id DESC")),
)

_FIND: Final = text(
    """
    SELECT s.* FROM unnest(CAST(:customer_ids AS text[]), CAST(:ids AS uuid[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (SELECT * FROM coaching_session AS s WHERE s.customer_id = wanted.customer_id AND s.id = wanted.id LIMIT 1) AS s
    """
)

EVIDENCE: Final = """
    SELECT customer_id, 'sessions' AS feature, 'sessions' AS source, CAST(id AS text) AS reference, CAST(1 AS bigint) AS quantity,
        created_at AS occurred_at, CAST(NULL AS text) AS dimension
    FROM coaching_session
    UNION ALL
    SELECT customer_id, 'minutes', 'sessions', CAST(id AS text), duration_seconds, finished_at, NULL
    FROM coaching_session WHERE status = 'completed' AND duration_seconds > 0
"""
"""The usage that the sessions themselves show, for reconciliation."""


class SqlSessions(Sessions):
    """Within the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._written: dict[UUID, Session] = {}

    async def find(self, ids: Iterable[tuple[str, UUID]]) -> dict[UUID, Session]:
        wanted = list(dict.fromkeys(ids))
        parameters = {"customer_ids": [customer_id for customer_id, _ in wanted], "ids": [id for _, id in wanted]}
        return {row.id: _to_session(row) for row in await self._connection.execute(_FIND, parameters)}

    def add(self, session: Session) -> None:
        self._written[session.id] = session

    def save(self, session: Session) -> None:
        self._written[session.id] = session

    async def flush(self) -> None:
        if self._written:
            statement = insert(coaching_session).values([_to_row(session) for session in self._written.values()])
            changing = ("status", "file_id", "file_content_type", "file_size_bytes", "duration_seconds", "failure_reason", "finished_at")
            await self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["customer_id", "id"], set_={name: statement.excluded[name] for name in changing}
                )
            )


class SqlSessionReader(SessionReader):
    """Each method is a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, customer_id: str, id: UUID) -> Session:
        statement = select(coaching_session).where(coaching_session.c.customer_id == customer_id, coaching_session.c.id == id)
        with storage_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise SessionNotFound(str(id))
        return _to_session(row)

    async def newest(self, customer_id: str, limit: int, before: tuple[datetime, UUID] | None) -> Sequence[Session]:
        order = (coaching_session.c.created_at, coaching_session.c.id)
        statement = select(coaching_session).where(coaching_session.c.customer_id == customer_id)
        if before is not None:
            statement = statement.where(tuple_(*order) < before)
        statement = statement.order_by(*(column.desc() for column in order)).limit(limit)
        with storage_errors():
            async with self._engine.connect() as connection:
                return [_to_session(row) for row in await connection.execute(statement)]


def _to_row(session: Session) -> dict[str, Any]:
    return {
        "customer_id": session.customer_id,
        "id": session.id,
        "title": session.title,
        "language": session.language,
        "stt_provider": session.stt_provider.value,
        "status": session.status.value,
        "file_id": session.file and session.file.id,
        "file_content_type": session.file and session.file.content_type,
        "file_size_bytes": session.file and session.file.size_bytes,
        "duration_seconds": session.duration_seconds,
        "failure_reason": session.failure_reason,
        "created_at": session.created_at,
        "finished_at": session.finished_at,
    }


def _to_session(row: Row[Any]) -> Session:
    file = None if row.file_id is None else UploadedFile(row.file_id, row.file_content_type, row.file_size_bytes)
    return Session(
        row.id,
        row.customer_id,
        row.title,
        row.language,
        SttProvider(row.stt_provider),
        row.created_at,
        SessionStatus(row.status),
        file,
        row.duration_seconds,
        row.failure_reason,
        row.finished_at,
    )
