"""Coaching sessions in PostgreSQL."""

from typing import Any, Final

from asyncpg import Record
from sqlalchemy import BigInteger, Column, DateTime, Index, PrimaryKeyConstraint, Table, Text, Uuid, text

from core.sessions.ports import SessionReader, Sessions
from core.sessions.session import Session, SessionKey, SessionStatus, SttProvider, UploadedFile
from infrastructure.sql.driver.reader import SqlReader
from infrastructure.sql.driver.repository import SqlRepository
from infrastructure.sql.driver.rows import Rows, all_but_key
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.stored import Stored

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

EVIDENCE: Final = """
    SELECT customer_id, 'sessions' AS feature, 'sessions' AS source, CAST(id AS text) AS reference, CAST(1 AS bigint) AS quantity,
        created_at AS occurred_at, CAST(NULL AS text) AS dimension
    FROM coaching_session
    UNION ALL
    SELECT customer_id, 'minutes', 'sessions', CAST(id AS text), duration_seconds, finished_at, NULL
    FROM coaching_session WHERE status = 'completed' AND duration_seconds > 0
"""
"""The usage that the sessions themselves show, for reconciliation."""


def _from_session(session: Session) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        session.customer_id,
        session.id,
        session.title,
        session.language,
        session.stt_provider.value,
        session.status.value,
        session.file and session.file.id,
        session.file and session.file.content_type,
        session.file and session.file.size_bytes,
        session.duration_seconds,
        session.failure_reason,
        session.created_at,
        session.finished_at,
    )


def _to_session(row: Record) -> Session:
    return Session(
        id=row["id"],
        customer_id=row["customer_id"],
        title=row["title"],
        language=row["language"],
        stt_provider=SttProvider(row["stt_provider"]),
        created_at=row["created_at"],
        status=SessionStatus(row["status"]),
        file=row["file_id"] and UploadedFile(row["file_id"], row["file_content_type"], row["file_size_bytes"]),
        duration_seconds=row["duration_seconds"],
        failure_reason=row["failure_reason"],
        finished_at=row["finished_at"],
    )


SESSIONS: Final = Rows(coaching_session, _from_session, _to_session, changing=all_but_key(coaching_session))


class SqlSessions(SqlRepository[SessionKey, Session], Sessions):
    """Within the transaction of a unit of work."""

    rows = SESSIONS


STORED: Final = Stored({"sessions": SqlSessions}, EVIDENCE, (coaching_session,))


class SqlSessionReader(SqlReader[SessionKey, Session], SessionReader):
    """Each method is one statement, and so a transaction of its own."""

    rows = SESSIONS
