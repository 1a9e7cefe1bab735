"""Conversations and their messages in PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from asyncpg import Record
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, PrimaryKeyConstraint, Table, Text, Uuid, text

from core.conversations.conversation import Conversation, ConversationNotFound
from core.conversations.message import Channel, Direction, Message, Receipt, Standing
from core.conversations.ports import ConversationKey, ConversationReader, Conversations, MessageKey, Messages, Party, Sought
from core.metering.reader import Position
from core.plans.periods import END
from infrastructure.sql.driver.fields import table_of
from infrastructure.sql.driver.reader import SqlReader, of_customer, of_known
from infrastructure.sql.driver.repository import SqlRepository
from infrastructure.sql.driver.rows import Rows, all_but_key
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import HotStatement
from infrastructure.sql.driver.stored import Stored

conversation: Final = table_of(
    Conversation,
    "conversation",
    Index("ix_conversation_window", "customer_id", "counterparty", "expires_at", postgresql_where=text("merged_into IS NULL")),
    Index(
        "ix_conversation_newest",
        *("customer_id", text("started_at DESC"), text("id DESC")),
        postgresql_where=text("merged_into IS NULL"),
    ),
    postgresql_with={"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_threshold": 1000},
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
    postgresql_with={"autovacuum_vacuum_insert_scale_factor": 0.05},
)
"""From `conversation_id` on: the receipt, as it was when the message was counted."""

LAST_ID: Final = UUID(int=2**128 - 1)

FIND_OF: Final = """
    SELECT c.*
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
"""The order is only asked for because one index has it: while the table has no statistics, any index that begins with the customer
would seem as good, and read all of a customer's conversations.
"""

_FIND_OF: Final = HotStatement(FIND_OF)

_GET: Final = HotStatement(
    """
    WITH RECURSIVE line AS (
        SELECT * FROM conversation WHERE customer_id = :customer_id AND id = :id
        UNION ALL
        SELECT c.* FROM line JOIN conversation AS c ON c.customer_id = :customer_id AND c.id = line.merged_into
    )
    SELECT * FROM line WHERE merged_into IS NULL
    """
)

NEWEST_OF: Final = """
    SELECT * FROM (
        SELECT * FROM conversation
        WHERE customer_id = :customer_id AND counterparty = :counterparty AND merged_into IS NULL
        ORDER BY expires_at
        OFFSET 0
    ) AS theirs
    WHERE (started_at, id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
      AND (CAST(:active AS boolean) IS NULL OR (expires_at > CAST(:at AS timestamptz)) = CAST(:active AS boolean))
    ORDER BY started_at DESC, id DESC
    LIMIT :limit
"""
"""Found by their own index, as in `FIND_OF`, and then put in order: a walk back from the customer's newest conversation might not end."""

_NEWEST_OF: Final = HotStatement(NEWEST_OF)

EVIDENCE: Final = """
    SELECT customer_id, 'conversations' AS feature, 'conversations' AS source, CAST(id AS text) AS reference,
        CAST(CASE WHEN merged_into IS NULL THEN 1 ELSE 0 END AS bigint) AS quantity, started_at AS occurred_at,
        CAST(NULL AS text) AS dimension
    FROM conversation
"""
"""The usage that the conversations themselves show, for reconciliation; one that is part of another shows that it was given back."""


def _from_message(added: Message) -> tuple[Any, ...]:
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


def _to_message(row: Record) -> Message:
    receipt = Receipt(
        conversation_id=row["conversation_id"],
        counterparty=row["counterparty"],
        started_at=row["started_at"],
        expires_at=row["expires_at"],
        message_count=row["message_count"],
        new_conversation=row["new_conversation"],
        usage=Standing(row["used"], row["usage_limit"], row["remaining"]),
        over_limit=row["over_limit"],
    )
    return Message(
        customer_id=row["customer_id"],
        id=row["id"],
        direction=Direction(row["direction"]),
        channel=Channel(row["channel"]),
        sent_at=row["sent_at"],
        recorded_at=row["recorded_at"],
        receipt=receipt,
    )


CONVERSATIONS: Final = Rows.alike(conversation, Conversation, changing=all_but_key(conversation))
MESSAGES: Final = Rows(message, _from_message, _to_message)


class SqlConversations(SqlRepository[ConversationKey, Conversation], Conversations):
    """Within the transaction of a unit of work."""

    rows = CONVERSATIONS

    async def find_of(self, sought: Mapping[Party, Sought]) -> Iterable[Conversation]:
        parameters = {
            "customer_ids": [party.customer_id for party in sought],
            "counterparties": [party.counterparty for party in sought],
            "ends_after": [item.ends_after for item in sought.values()],
            "messages_below": [item.messages_below for item in sought.values()],
        }
        return [CONVERSATIONS.from_row(row) for row in await _FIND_OF.fetch(self._driver, parameters)]


class SqlMessages(SqlRepository[MessageKey, Message], Messages):
    """Within the transaction of a unit of work."""

    rows = MESSAGES


STORED: Final = Stored({"conversations": SqlConversations, "messages": SqlMessages}, EVIDENCE, (conversation, message))


class SqlConversationReader(SqlReader[ConversationKey, Conversation], ConversationReader):
    """Each method is one statement, and so a transaction of its own."""

    rows = CONVERSATIONS

    async def get(self, key: ConversationKey) -> Conversation:
        rows = await of_known(
            self._connections, key.customer_id, lambda driver: _GET.fetch(driver, {"customer_id": key.customer_id, "id": key.id})
        )
        if not rows:
            raise ConversationNotFound(str(key.id))
        return CONVERSATIONS.from_row(rows[0])

    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[Conversation]:
        return await self._page(customer_id, limit, before, "merged_into IS NULL")

    async def newest_that_are(
        self,
        customer_id: str,
        limit: int,
        before: Position | None,
        *,
        at: datetime,
        active: bool | None = None,
        counterparty: str | None = None,
    ) -> Sequence[Conversation]:
        if counterparty is not None:
            before_at, before_id = before or (END, LAST_ID)
            page = {"customer_id": customer_id, "limit": limit, "before_at": before_at, "before_id": before_id}
            sought = {"counterparty": counterparty, "active": active, "at": at}
            return [CONVERSATIONS.from_row(row) for row in await of_customer(self._connections, _NEWEST_OF, page | sought)]
        if active is None:
            return await self.newest(customer_id, limit, before)
        ends = "expires_at > CAST(:at AS timestamptz)" if active else "expires_at <= CAST(:at AS timestamptz)"
        return await self._page(customer_id, limit, before, f"merged_into IS NULL AND {ends}", at=at)
