"""Replies under idempotency keys in PostgreSQL."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Column, DateTime, Index, LargeBinary, PrimaryKeyConstraint, Table, Text

from core.metering.idempotency import StoredReply
from core.metering.ports import Replies
from infrastructure.sql.driver.rows import arrays, insert
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement

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

_FIND: Final = HotStatement(
    """
    SELECT stored.customer_id, stored.key, stored.fingerprint, stored.reply
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:keys AS text[])) AS wanted (customer_id, key)
    CROSS JOIN LATERAL (
        SELECT * FROM idempotency_key AS i WHERE i.customer_id = wanted.customer_id AND i.key = wanted.key LIMIT 1
    ) AS stored
    """
)

_ADD: Final = HotStatement(insert(idempotency_key))


class SqlReplies(Replies):
    """Within the transaction of a unit of work."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._added: list[tuple[StoredReply, datetime]] = []

    async def find(self, keys: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], StoredReply]:
        unique = list(dict.fromkeys(keys))
        parameters = {"customer_ids": [customer_id for customer_id, _ in unique], "keys": [key for _, key in unique]}
        stored = [StoredReply(*row) for row in await _FIND.fetch(self._driver, parameters)]
        return {(reply.customer_id, reply.key): reply for reply in stored}

    def add(self, reply: StoredReply, at: datetime) -> None:
        self._added.append((reply, at))

    async def flush(self) -> None:
        if self._added:
            rows = ((reply.customer_id, reply.key, reply.fingerprint, reply.reply, at) for reply, at in self._added)
            await _ADD.fetch(self._driver, arrays(idempotency_key, rows))
