"""Deletes customers: their own row at once, and everything else in small pieces, for as long as it takes and whoever goes on with it."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from asyncpg import Record
from sqlalchemy import Boolean, Column, DateTime, Numeric, PrimaryKeyConstraint, Table, Text, Uuid

from core.customers.deletion import CustomerDeletions, CustomerFiles
from core.metering.account import CustomerNotFound
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import quoted
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import HotStatement
from infrastructure.sql.upkeep.customer_rows import after, existing, keyed, names, own_key, tables_of_customers

BITE_ROWS: Final = 500
BITE_FILES: Final = 50
EVERY_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 0.5
"""Where a transaction that may know the customer is still open."""

logger = logging.getLogger("tollgate")

customer_deletion: Final = Table(
    "customer_deletion",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("keeps_sums", Boolean, nullable=False),
    Column("begun_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("customer_id"),
)

deleted_usage: Final = Table(
    "deleted_usage",
    metadata,
    Column("feature", Text, nullable=False),
    Column("month", DateTime(timezone=True), nullable=False),
    Column("quantity", Numeric, nullable=False),
    PrimaryKeyConstraint("feature", "month"),
)

# Repeated where the connection is lost before the answer: the second one finds its own row, and says so, too.
_BEGIN: Final = HotStatement(
    """
    WITH gone AS (DELETE FROM customer WHERE customer_id = :customer_id RETURNING customer_id),
    begun AS (
        INSERT INTO customer_deletion (customer_id, id, requested_at, requested_by, keeps_sums)
        SELECT customer_id, CAST(:id AS uuid), CAST(:at AS timestamptz), CAST(:by AS text), CAST(:keeps_sums AS boolean) FROM gone
        RETURNING 1
    )
    SELECT 1 FROM begun UNION ALL SELECT 1 FROM customer_deletion WHERE customer_id = :customer_id AND id = CAST(:id AS uuid)
    """
)
_PENDING: Final = HotStatement("SELECT * FROM customer_deletion ORDER BY requested_at, customer_id LIMIT 20")

# By the database's own clock, since it is compared with when its transactions began, and never earlier than the customer's row went.
# None of ours is open for minutes: whoever has been for longer is somebody else.
_OPEN: Final = HotStatement(
    """
    WITH begun AS (
        UPDATE customer_deletion SET begun_at = coalesce(begun_at, clock_timestamp()) WHERE customer_id = :customer_id RETURNING begun_at
    )
    SELECT 1 FROM begun JOIN pg_stat_activity AS a ON a.xact_start <= begun.begun_at
    WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
        AND clock_timestamp() < begun.begun_at + interval '10 minutes'
    LIMIT 1
    """
)
_END: Final = HotStatement("DELETE FROM customer_deletion WHERE customer_id = :customer_id AND id = CAST(:id AS uuid)")

_KEEP: Final = """
    , kept AS (
        INSERT INTO deleted_usage (feature, month, quantity)
        SELECT feature, date_trunc('month', occurred_at, 'UTC'), sum(quantity) FROM gone GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (feature, month) DO UPDATE SET quantity = deleted_usage.quantity + excluded.quantity
    )
"""
"""In the statement that deletes, so that each record is counted once."""

_SUMMED: Final = "usage_record"


class SqlCustomerDeletions(CustomerDeletions):
    """Each process goes on with all deletions; several of them at once do no harm.

    A command that was under way when the customer's row went may still write. So a deletion ends with a pass over all tables that began
    when no transaction was open any more that could have seen the row.
    """

    def __init__(self, connections: Connections, files: Callable[[], CustomerFiles], new_id: Callable[[], UUID]) -> None:
        self._connections = connections
        self._files = files
        self._new_id = new_id
        self._tables = list(map(_Emptying, tables_of_customers()))
        self._any = asyncio.Event()

    async def begin(self, customer_id: str, at: datetime, by: str, *, keeps_sums: bool) -> None:
        values = {"customer_id": customer_id, "id": self._new_id(), "at": at, "by": by, "keeps_sums": keeps_sums}
        if not await self._connections.ask(lambda driver: _BEGIN.fetch(driver, values)):
            raise CustomerNotFound(customer_id)
        self._any.set()

    async def run(self) -> None:
        """Goes on for ever with what was begun, here or elsewhere."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0.5, 1.5) * EVERY_SECONDS):
                    await self._any.wait()
            self._any.clear()
            try:
                if not await self.work():
                    await asyncio.sleep(AGAIN_SECONDS)
                    self._any.set()
            except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
                logger.warning("Deleting customers was put off: %r", error)

    async def work(self) -> bool:
        """Carries out all deletions as far as that is possible; whether none is left."""
        pending = await self._connections.ask(lambda driver: _PENDING.fetch(driver, {}))
        ended = [await self._delete(deletion) for deletion in pending]
        return all(ended)

    async def _delete(self, deletion: Record) -> bool:
        """Whether nothing is left of it."""
        id = deletion["customer_id"]
        is_open = bool(await self._connections.ask(lambda driver: _OPEN.fetch(driver, {"customer_id": id})))
        while await self._files().discard_some(id, BITE_FILES):
            pass
        is_empty = True
        there = await existing(self._connections, (table.name for table in self._tables))
        for table in (table for table in self._tables if table.name in there):
            is_empty &= await table.empty(self._connections, id, keeps_sums=deletion["keeps_sums"])
        if is_open or not is_empty:
            return False
        await self._connections.ask(lambda driver: _END.fetch(driver, {"customer_id": id, "id": deletion["id"]}))
        return True


class _Emptying:
    """Deletes a customer's rows of one table in the order of its key, a bite at a time, each a transaction of its own."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self._key = own_key(table)
        self._any = HotStatement(f"SELECT 1 FROM {quoted(table.name)} WHERE customer_id = :customer_id LIMIT 1")
        self._first, self._following = _bite(table, self._key, ""), _bite(table, self._key, f"AND {after(self._key)}")
        self._is_summed = table.name == _SUMMED
        if self._is_summed:
            self._first_summed = _bite(table, self._key, "", _KEEP)
            self._following_summed = _bite(table, self._key, f"AND {after(self._key)}", _KEEP)

    async def empty(self, connections: Connections, customer_id: str, *, keeps_sums: bool) -> bool:
        """One pass; whether nothing is left. What others delete at the same time may be left to them."""
        first, following = self._first, self._following
        if keeps_sums and self._is_summed:
            first, following = self._first_summed, self._following_summed
        last: Record | None = None
        while True:
            statement = first if last is None else following
            parameters = {"customer_id": customer_id, "rows": BITE_ROWS, **keyed(last, self._key)}
            rows = await connections.ask(partial(statement.fetch, parameters=parameters))
            if not rows:
                break
            last = rows[0]
        return not await connections.ask(lambda driver: self._any.fetch(driver, {"customer_id": customer_id}))


def _bite(table: Table, key: list[Column[Any]], beyond: str, more: str = "") -> HotStatement:
    """Deletes the next rows, and answers the key of the last one; nothing where there is none."""
    name = quoted(table.name)
    same = " AND ".join(f"t.{quoted(column.name)} = bite.{quoted(column.name)}" for column in key)
    last = ", ".join(f"{quoted(column.name)} DESC" for column in key)
    return HotStatement(
        f"""
        WITH bite AS MATERIALIZED (
            SELECT {names(key)} FROM {name} WHERE customer_id = :customer_id {beyond} ORDER BY {names(key)} LIMIT :rows
        ),
        gone AS (DELETE FROM {name} AS t USING bite WHERE t.customer_id = :customer_id AND {same} RETURNING t.*)
        {more}
        SELECT {names(key)} FROM bite ORDER BY {last} LIMIT 1
        """
    )
