"""The tables that keep something of a customer: found by their column, so that none is forgotten; read and emptied in their order."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence, Set
from datetime import datetime
from typing import Any, Final

from asyncpg import Record
from sqlalchemy import Column, LargeBinary, MetaData, Table
from sqlalchemy.dialects.postgresql import dialect

from core.clock import Clock
from core.customers.deletion import CustomerRows
from core.metering.account import CustomerNotFound
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import quoted
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import HotStatement

EXPORTED_ROWS: Final = 500
"""So many are read at a time."""

LEFT_OUT: Final = {("portal_session", "secret_hash")}
"""Columns that are not exported: what credentials are checked against."""

OF_CUSTOMER: Final = "customer_id"
CUSTOMER: Final = "customer"
DELETION: Final = "customer_deletion"

_DIALECT: Final = dialect()  # type: ignore[no-untyped-call]
_EXISTING: Final = HotStatement("SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass(quote_ident(name)) IS NOT NULL")
_FEATURES: Final = HotStatement("SELECT key, resolution FROM feature ORDER BY key")


def tables_of_customers(within: MetaData = metadata) -> Iterator[Table]:
    """Those that keep something of a customer beside its own row, each before the ones that it refers to."""
    for table in reversed(within.sorted_tables):
        if OF_CUSTOMER in table.columns and table.name not in (CUSTOMER, DELETION):
            yield table


def own_key(table: Table) -> list[Column[Any]]:
    """What tells a customer's rows apart, and the order in which they are read; of a table with one row for each, the customer itself."""
    key = list(table.primary_key.columns)
    return [column for column in key if column.name != OF_CUSTOMER] or key


def after(key: Sequence[Column[Any]]) -> str:
    """A condition: beyond the row with the key that is given as `key_0`, `key_1`, …"""
    given = ", ".join(f"CAST(:key_{n} AS {column.type.compile(_DIALECT)})" for n, column in enumerate(key))
    return f"({names(key)}) > ({given})"


def names(columns: Sequence[Column[Any]]) -> str:
    """The columns' names, as they stand in a statement."""
    return ", ".join(quoted(column.name) for column in columns)


def keyed(row: Record | None, key: Sequence[Column[Any]]) -> dict[str, Any]:
    """The row's own key as parameters."""
    return {} if row is None else {f"key_{n}": row[column.name] for n, column in enumerate(key)}


async def existing(connections: Connections, tables: Iterable[str]) -> Set[str]:
    """Those that are there: a product that was never switched on has none."""
    rows = await connections.ask(lambda driver: _EXISTING.fetch(driver, {"names": list(tables)}))
    return {row["name"] for row in rows}


class SqlCustomerRows(CustomerRows):
    """Page by page, each a statement of its own: no transaction waits for whoever reads the export."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        customer = metadata.tables[CUSTOMER]
        self._customer = _Export(customer)
        self._tables = [self._customer, *map(_Export, sorted(tables_of_customers(), key=lambda table: table.name))]

    async def lines(self, customer_id: str) -> AsyncIterator[bytes]:
        head = await self._head(customer_id, self._clock())
        yield head
        there = await existing(self._connections, (export.name for export in self._tables))
        for export in (export for export in self._tables if export.name in there):
            last: Record | None = None
            while rows := await self._page(export, customer_id, last):
                for row in rows:
                    yield b'{"table":"%s","row":%s}\n' % (export.name.encode(), row["exported_row"].encode())
                last = rows[-1]
                if len(rows) < EXPORTED_ROWS:
                    break

    async def _head(self, customer_id: str, now: datetime) -> bytes:
        if not await self._page(self._customer, customer_id, None):
            raise CustomerNotFound(customer_id)
        resolutions = {row["key"]: row["resolution"] for row in await self._connections.ask(lambda driver: _FEATURES.fetch(driver, {}))}
        return _line("export", {"customer_id": customer_id, "exported_at": now.isoformat(), "resolutions": resolutions})

    async def _page(self, export: "_Export", customer_id: str, last: Record | None) -> Sequence[Record]:
        statement = export.first if last is None else export.following
        parameters = {"customer_id": customer_id, "rows": EXPORTED_ROWS, **keyed(last, export.key)}
        return await self._connections.ask(lambda driver: statement.fetch(driver, parameters))


class _Export:
    """How a table's rows become JSON: by the database, which knows all its types; bytes as base64."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self.key = own_key(table)
        shown = [column for column in table.columns if (table.name, column.name) not in LEFT_OUT]
        values = ", ".join(
            f"encode({quoted(column.name)}, 'base64') AS {quoted(column.name)}"
            if isinstance(column.type, LargeBinary)
            else quoted(column.name)
            for column in shown
        )
        whole = f"CAST((SELECT row_to_json(shown) FROM (SELECT {values}) AS shown) AS text) AS exported_row"
        found = f"SELECT {whole}, {names(self.key)} FROM {quoted(table.name)} WHERE customer_id = :customer_id"
        ordered = f"ORDER BY {names(self.key)} LIMIT :rows"
        self.first, self.following = HotStatement(f"{found} {ordered}"), HotStatement(f"{found} AND {after(self.key)} {ordered}")


def _line(table: str, row: dict[str, Any]) -> bytes:
    return json.dumps({"table": table, "row": row}, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace") + b"\n"
