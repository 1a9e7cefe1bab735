"""Conversations and their messages in PostgreSQL."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from asyncpg import Record
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, PrimaryKeyConstraint, Row, Table, Text, Uuid, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from core.conversations.conversation import Conversation, ConversationNotFound
from core.conversations.message import Message, Receipt, Standing
from core.conversations.ports import ConversationReader, Conversations, Known, MessageKey, Party, Sought
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.rows import arrays, insert
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement

conversation: Final = Table(
    "conversation",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("counterparty", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("message_count", BigInteger, nullable=False),
    Column("merged_into", Uuid),
    PrimaryKeyConstraint("customer_id", "id"),
    Index("ix_conversation_window", "customer_id", "counterparty", "expires_at", postgresql_where=text("merged_into IS NULL")),
    Index(
        "ix_conversation_newest",
        *("customer_id", text("started_at DESC"), text("id DESC")),
        postgresql_where=text("merged_into IS NULL"),
    ),
)

message: Final = Table(
    "message",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("sent_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("conversation_id", Uuid, nullable=False),
    Column("counterparty", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("message_count", BigInteger, nullable=False),
    Column("new_conversation", Boolean, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("usage_limit", BigInteger),
    Column("remaining", BigInteger),
    Column("over_limit", Boolean, nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
)
"""From `conversation_id` on: the receipt, as it was when the message was counted."""

FIND: Final = """
    SELECT m.customer_id, m.id AS message_id, m.conversation_id, m.counterparty, m.started_at, m.expires_at, m.message_count,
        m.new_conversation, m.used, m.usage_limit, m.remaining, m.over_limit
    FROM unnest(CAST(:message_customers AS text[]), CAST(:message_ids AS text[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (SELECT * FROM message AS m WHERE m.customer_id = wanted.customer_id AND m.id = wanted.id LIMIT 1) AS m
    UNION ALL
    SELECT c.customer_id, NULL, c.id, c.counterparty, c.started_at, c.expires_at, c.message_count, NULL, NULL, NULL, NULL, NULL
    FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:counterparties AS text[]), CAST(:ends_after AS timestamptz[]),
        CAST(:messages_below AS bigint[])
    ) AS sought (customer_id, counterparty, ends_after, messages_below)
    CROSS JOIN LATERAL (
        SELECT * FROM conversation AS c
        WHERE c.customer_id = sought.customer_id AND c.counterparty = sought.counterparty AND c.merged_into IS NULL
          AND c.expires_at > sought.ends_after AND (sought.messages_below IS NULL OR c.message_count < sought.messages_below)
        ORDER BY c.expires_at
        OFFSET 0
    ) AS c
"""
"""Both questions in one statement; what has no `message_id` is a conversation.

The order is only asked for because one index has it: while the table has no statistics, any index that begins with the customer
would seem as good, and read all of a customer's conversations.
"""

_FIND: Final = HotStatement(FIND)

_WRITE: Final = HotStatement(
    f"""
    WITH kept AS (
        {insert(conversation)}
        ON CONFLICT (customer_id, id) DO UPDATE
        SET started_at = excluded.started_at, expires_at = excluded.expires_at, message_count = excluded.message_count,
            merged_into = excluded.merged_into
    )
    {insert(message)}
    """
)

_GET: Final = text(
    """
    WITH RECURSIVE line AS (
        SELECT * FROM conversation WHERE customer_id = :customer_id AND id = :id
        UNION ALL
        SELECT c.* FROM line JOIN conversation AS c ON c.customer_id = :customer_id AND c.id = line.merged_into
    )
    SELECT * FROM line WHERE merged_into IS NULL
    """
)

EVIDENCE: Final = """
    SELECT customer_id, 'conversations' AS feature, 'conversations' AS source, CAST(id AS text) AS reference,
        CAST(CASE WHEN merged_into IS NULL THEN 1 ELSE 0 END AS bigint) AS quantity, started_at AS occurred_at,
        CAST(NULL AS text) AS dimension
    FROM conversation
"""
"""The usage that the conversations themselves show, for reconciliation; one that is part of another shows that it was given back."""


class SqlConversations(Conversations):
    """Within the transaction of a unit of work."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._kept: dict[tuple[str, UUID], Conversation] = {}
        self._added: list[Message] = []

    async def find(self, messages: Collection[MessageKey], sought: Mapping[Party, Sought]) -> Known:
        parameters = {
            "message_customers": [key.customer_id for key in messages],
            "message_ids": [key.message_id for key in messages],
            "customer_ids": [party.customer_id for party in sought],
            "counterparties": [party.counterparty for party in sought],
            "ends_after": [item.ends_after for item in sought.values()],
            "messages_below": [item.messages_below for item in sought.values()],
        }
        known = Known({}, {})
        for row in await _FIND.fetch(self._driver, parameters):
            customer_id, message_id = row["customer_id"], row["message_id"]
            if message_id is not None:
                known.receipts[MessageKey(customer_id, message_id)] = _to_receipt(row)
            else:
                found = Conversation(
                    row["conversation_id"],
                    customer_id,
                    row["counterparty"],
                    row["started_at"],
                    row["expires_at"],
                    row["message_count"],
                )
                known.conversations.setdefault(Party(customer_id, found.counterparty), {})[found.id] = found
        return known

    def save(self, conversation: Conversation) -> None:
        self._kept[conversation.customer_id, conversation.id] = conversation

    def add(self, message: Message) -> None:
        self._added.append(message)

    async def flush(self) -> None:
        if not self._added:
            return
        kept = arrays(conversation, map(_conversation, self._kept.values()))
        await _WRITE.fetch(self._driver, kept | arrays(message, map(_message, self._added)))


class SqlConversationReader(ConversationReader):
    """Each method is a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, customer_id: str, id: UUID) -> Conversation:
        with storage_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(_GET, {"customer_id": customer_id, "id": id})).one_or_none()
        if row is None:
            raise ConversationNotFound(str(id))
        return _to_conversation(row)

    async def newest(
        self, customer_id: str, limit: int, before: tuple[datetime, UUID] | None, at: datetime, *, active: bool | None
    ) -> Sequence[Conversation]:
        order = (conversation.c.started_at, conversation.c.id)
        statement = select(conversation).where(conversation.c.customer_id == customer_id, conversation.c.merged_into.is_(None))
        if active is not None:
            statement = statement.where(conversation.c.expires_at > at if active else conversation.c.expires_at <= at)
        if before is not None:
            statement = statement.where(tuple_(*order) < before)
        statement = statement.order_by(*(column.desc() for column in order)).limit(limit)
        with storage_errors():
            async with self._engine.connect() as connection:
                return [_to_conversation(row) for row in await connection.execute(statement)]


def _conversation(kept: Conversation) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return kept.customer_id, kept.id, kept.counterparty, kept.started_at, kept.expires_at, kept.message_count, kept.merged_into


def _message(added: Message) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    told, usage = added.receipt, added.receipt.usage
    return (
        added.customer_id,
        added.id,
        added.direction.value,
        added.channel.value,
        added.sent_at,
        added.recorded_at,
        told.conversation_id,
        told.counterparty,
        told.started_at,
        told.expires_at,
        told.message_count,
        told.new_conversation,
        usage.used,
        usage.limit,
        usage.remaining,
        told.over_limit,
    )


def _to_receipt(row: Record) -> Receipt:
    return Receipt(
        row["conversation_id"],
        row["counterparty"],
        row["started_at"],
        row["expires_at"],
        row["message_count"],
        row["new_conversation"],
        Standing(row["used"], row["usage_limit"], row["remaining"]),
        row["over_limit"],
    )


def _to_conversation(row: Row[Any]) -> Conversation:
    return Conversation(row.id, row.customer_id, row.counterparty, row.started_at, row.expires_at, row.message_count, row.merged_into)
