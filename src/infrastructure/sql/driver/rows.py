"""How rows are written and looked up: many in one statement, an array for each column.

This is the one way to do either, for the engine and the products. A statement has as many parameters as columns, however many rows
there are, so that no list meets the driver's limit of 32,767 parameters.

The driver takes 0.3 µs for an element of an array, much of what a decision takes; and within a batch most columns are all alike. A
column in which they are is sent as one value.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple, TypeVar

from asyncpg import Record
from sqlalchemy import Column, Table
from sqlalchemy.dialects.postgresql import dialect

from infrastructure.sql.driver.fields import from_row
from infrastructure.sql.driver.statements import Driver, HotStatement

V = TypeVar("V")

_SENT: Final = "sent_"
"""How the names of parameters begin."""

_DIALECT: Final = dialect()  # type: ignore[no-untyped-call]

quoted: Final[Callable[[str], str]] = _DIALECT.identifier_preparer.quote
"""A name as it stands in a statement: a table may be called `order`."""


class Change(NamedTuple):
    """Rows to be written or removed: a statement, and the arrays that it is sent, by column."""

    sql: str
    arrays: dict[str, Any]


class Rows(Generic[V]):
    """How things of one kind are kept: a row for each, in one table, under the table's primary key.

    `changing` names the columns that a further state of a thing may change; with none, what is stored stays as it is. Absent: things
    are only ever added, and a second row under a key is an error.
    """

    def __init__(
        self,
        table: Table,
        to_row: Callable[[V], tuple[Any, ...]],
        from_row: Callable[[Record], V],
        *,
        changing: Collection[str] | None = None,
        writing: Collection[str] | None = None,
    ) -> None:
        """`to_row` answers in the order of the table's columns, or of those that `writing` names: the others have defaults."""
        self.table = table
        self.from_row = from_row
        self._to_row = to_row
        self._columns = [table.columns[name] for name in writing or table.columns.keys()]
        self._key = list(table.primary_key.columns)
        self._put = _put_sql(table, self._columns, changing)
        self._remove = _remove_sql(table, self._key)
        self._find = HotStatement(_find_sql(table, self._key))

    @classmethod
    def alike(cls, table: Table, kind: Callable[..., V], *, changing: Collection[str] | None = None) -> "Rows[V]":
        """Where the columns are the thing's own fields, by name."""
        return cls(table, attrgetter(*table.columns.keys()), from_row(kind), changing=changing)

    async def find(self, driver: Driver, keys: Sequence[tuple[Any, ...]]) -> list[V]:
        """Those that exist among these keys, which are in the order of the primary key."""
        if not keys:
            return []
        columns = zip(*keys, strict=True)
        parameters = {column.name: list(values) for column, values in zip(self._key, columns, strict=True)}
        return [self.from_row(row) for row in await self._find.fetch(driver, parameters)]

    def put(self, values: Iterable[V]) -> Change:
        """New things, or the next states of known ones; one value or more, and no two of one key."""
        return Change(self._put, _arrays(self._columns, list(map(self._to_row, values))))

    def remove(self, keys: Sequence[tuple[Any, ...]]) -> Change:
        """What goes by these keys is deleted; one key or more."""
        return Change(self._remove, _arrays(self._key, keys))


def all_but_key(table: Table) -> Collection[str]:
    """What a further state of a thing may change: all of it, so that nothing that was saved is left out."""
    return [column.name for column in table.columns if not column.primary_key]


async def write(driver: Driver, changes: Sequence[Change]) -> None:
    """Writes everything in one statement and so in one round trip; no two changes are about the same row."""
    if changes:
        statement, sent = _together(tuple(change.sql for change in changes))
        await statement.fetch(driver, {name: changes[number].arrays[column] for name, (number, column) in sent.items()})


@lru_cache(maxsize=256)
def _together(statements: tuple[str, ...]) -> tuple[HotStatement, Mapping[str, tuple[int, str]]]:
    """One statement of them all, and for each of its parameters the number of the change and the column that it stands for.

    Parameters are numbered as their statements are, so that two of these may be about the same table.
    """
    sent: dict[str, tuple[int, str]] = {}
    for number, sql in enumerate(statements):
        sent |= {f"{_SENT}{number}_{column}": (number, column) for column in re.findall(rf":{_SENT}(\w+)", sql)}
    *first, last = (sql.replace(f":{_SENT}", f":{_SENT}{number}_") for number, sql in enumerate(statements))
    named = ", ".join(f"change_{number} AS ({sql})" for number, sql in enumerate(first))
    return HotStatement(f"WITH {named} {last}" if named else last), sent


def _arrays(columns: Sequence[Column[Any]], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """The parameters. Where all rows are alike, the first column goes in full, since something has to say how many there are."""
    sent = [values[:1] if values.count(values[0]) == len(values) else values for values in zip(*rows, strict=True)]
    if max(map(len, sent)) < len(rows):
        sent[0] = tuple(row[0] for row in rows)
    return {column.name: values for column, values in zip(columns, sent, strict=True)}


def _array(column: Column[Any]) -> str:
    return f"CAST(:{_SENT}{column.name} AS {column.type.compile(_DIALECT)}[])"


def _names(columns: Iterable[Column[Any]]) -> str:
    return ", ".join(quoted(column.name) for column in columns)


def _sent(columns: Sequence[Column[Any]]) -> tuple[str, str]:
    """The columns' values, and the rows that they come from, called `sent`."""
    arrays = [_array(column) for column in columns]
    values = [
        f"CASE cardinality({array}) WHEN 1 THEN ({array})[1] ELSE sent.{quoted(column.name)} END"
        for array, column in zip(arrays, columns, strict=True)
    ]
    return ", ".join(values), f"unnest({', '.join(arrays)}) AS sent ({_names(columns)})"


def _put_sql(table: Table, columns: Sequence[Column[Any]], changing: Collection[str] | None) -> str:
    values, rows = _sent(columns)
    sql = f"INSERT INTO {quoted(table.name)} ({_names(columns)}) SELECT {values} FROM {rows}"
    if changing is None:
        return sql
    updates = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in changing)
    return f"{sql} ON CONFLICT ({_names(table.primary_key)}) DO {f'UPDATE SET {updates}' if updates else 'NOTHING'}"


def _remove_sql(table: Table, key: Sequence[Column[Any]]) -> str:
    values, rows = _sent(key)
    same = " AND ".join(f"kept.{quoted(column.name)} = gone.{quoted(column.name)}" for column in key)
    return f"DELETE FROM {quoted(table.name)} AS kept USING (SELECT {values} FROM {rows}) AS gone ({_names(key)}) WHERE {same}"


def _find_sql(table: Table, key: Sequence[Column[Any]]) -> str:
    """A lookup for each key: a plain join may read the whole table where its statistics are missing or old."""
    arrays = ", ".join(f"CAST(:{column.name} AS {column.type.compile(_DIALECT)}[])" for column in key)
    same = " AND ".join(f"kept.{quoted(column.name)} = wanted.{quoted(column.name)}" for column in key)
    return (
        f"SELECT found.* FROM unnest({arrays}) AS wanted ({_names(key)}) "
        f"CROSS JOIN LATERAL (SELECT * FROM {quoted(table.name)} AS kept WHERE {same} LIMIT 1) AS found"
    )
