"""Replies under idempotency keys in PostgreSQL."""

from typing import Final

from sqlalchemy import Column, DateTime, Index, LargeBinary, PrimaryKeyConstraint, Table, Text

from core.metering.idempotency import ReplyKey, StoredReply
from core.metering.ports import Replies
from infrastructure.sql.driver.repository import SqlRepository
from infrastructure.sql.driver.rows import Rows
from infrastructure.sql.driver.schema import metadata

idempotency_key: Final = Table(
    "idempotency_key",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("reply", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("customer_id", "key"),
    Index("ix_idempotency_key_created_at", "created_at"),
)


class SqlReplies(SqlRepository[ReplyKey, StoredReply], Replies):
    """Within the transaction of a unit of work."""

    rows = Rows(
        idempotency_key,
        lambda reply: (reply.customer_id, reply.key, reply.fingerprint, reply.reply, reply.answered_at),
        lambda row: StoredReply(
            customer_id=row["customer_id"],
            key=row["key"],
            fingerprint=row["fingerprint"],
            reply=row["reply"],
            answered_at=row["created_at"],
        ),
    )
