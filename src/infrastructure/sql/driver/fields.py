"""Columns and fields: tables, and the way to and from their rows, derived from what is kept in them."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_type_hints
from uuid import UUID

from asyncpg import Record
from sqlalchemy import BigInteger, Boolean, Column, DateTime, MetaData, Numeric, PrimaryKeyConstraint, Table, Text, Uuid
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from infrastructure.sql.driver.schema import metadata

V = TypeVar("V")

_TYPES: Final[Mapping[type, TypeEngine[Any]]] = {
    str: Text(),
    int: BigInteger(),
    bool: Boolean(),
    datetime: DateTime(timezone=True),
    UUID: Uuid(),
    Decimal: Numeric(),
}


class _Field(NamedTuple):
    """A field's type, and whether it may be None."""

    kind: type
    nullable: bool


def table_of(kind: type[Any], name: str, *more: SchemaItem, within: MetaData = metadata, **options: Any) -> Table:
    """A table with a column for each field of a dataclass or a named tuple, under the customer's id and the thing's own.

    `more`: indexes and further constraints; `options`: as of a Table. Raises TypeError where a field has a type that no column has.
    """
    columns = [Column(field, _column_type(kind, field, found.kind), nullable=found.nullable) for field, found in _fields(kind).items()]
    return Table(name, within, *columns, PrimaryKeyConstraint("customer_id", "id"), *more, **options)


def from_row(kind: Callable[..., V]) -> Callable[[Record], V]:
    """Makes a thing of a row that has a column for each of its fields. Further columns are those of a later release."""
    found = _fields(kind)
    read = itemgetter(*found)
    made_of_text = {place: field.kind for place, field in enumerate(found.values()) if issubclass(field.kind, StrEnum)}
    if not made_of_text:
        return lambda row: kind(*read(row))

    def convert(row: Record) -> V:
        values = list(read(row))
        for place, enumeration in made_of_text.items():
            if values[place] is not None:
                values[place] = enumeration(values[place])
        return kind(*values)

    return convert


def _fields(kind: Callable[..., Any]) -> dict[str, _Field]:
    """In the order in which the thing is made of them."""
    hints = get_type_hints(kind)
    names = getattr(kind, "_fields", None) or [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return {name: _field(hints[name]) for name in names}


def _field(hint: Any) -> _Field:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] or [hint]
    return _Field(kinds[0] if len(kinds) == 1 else hint, type(None) in get_args(hint))


def _column_type(kind: type[Any], field: str, of: Any) -> TypeEngine[Any]:
    if isinstance(of, type) and issubclass(of, StrEnum):
        return Text()
    if of not in _TYPES:
        raise TypeError(f"{kind.__name__}.{field}: there is no type of columns for {of}; such a table is declared by hand")
    return _TYPES[of]
