"""A table has the columns that the fields ask for, and things come back from its rows as they went in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, Optional
from uuid import UUID

import pytest
from sqlalchemy import Index, MetaData, Table
from sqlalchemy.dialects import postgresql

from infrastructure.sql.driver.fields import from_row, table_of
from tests.unit.fakes.notes import Colour, Note

COLUMNS = {
    "id": "uuid NOT NULL",
    "customer_id": "text NOT NULL",
    "created_at": "timestamptz NOT NULL",
    "text": "text NOT NULL",
    "colour": "text NOT NULL",
    "stars": "bigint NOT NULL",
    "done": "boolean NOT NULL",
    "weight": "numeric NOT NULL",
    "back": "text",
    "answer_to": "uuid",
    "answered_at": "timestamptz",
    "cost": "numeric",
    "place": "bigint",
    "author": "text",
    "read": "boolean",
}


class Pair(NamedTuple):
    customer_id: str
    id: int
    colour: Colour | None
    note: Optional[str]  # noqa: UP045 - the older way to say it


@dataclass(frozen=True)
class Nested:
    customer_id: str
    id: UUID
    parts: Mapping[str, int]


@dataclass(frozen=True)
class Either:
    customer_id: str
    id: UUID | str


def made(kind: type[Any], *more: Index) -> Table:
    return table_of(kind, "kept", *more, within=MetaData())


def columns(table: Table) -> dict[str, str]:
    types = {"TIMESTAMP WITH TIME ZONE": "timestamptz"}
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    found = {column.name: (column.type.compile(dialect), column.nullable) for column in table.columns}
    return {name: types.get(kind, kind.lower()) + ("" if nullable else " NOT NULL") for name, (kind, nullable) in found.items()}


def test_each_field_has_a_column_of_its_type_that_is_null_where_the_field_may_be_none() -> None:
    assert columns(made(Note)) == COLUMNS
    assert columns(made(Pair)) == {"customer_id": "text NOT NULL", "id": "bigint NOT NULL", "colour": "text", "note": "text"}


def test_the_key_begins_with_the_customer_whatever_the_order_of_the_fields() -> None:
    assert list(made(Note).primary_key.columns.keys()) == ["customer_id", "id"]


def test_indexes_and_constraints_of_its_own_belong_to_the_table() -> None:
    index = Index("ix_kept_stars", "customer_id", "stars")
    assert made(Note, index).indexes == {index}


@pytest.mark.parametrize(("kind", "field"), [(Nested, "Nested.parts"), (Either, "Either.id")])
def test_a_field_that_is_no_column_is_refused_by_its_name(kind: type[Any], field: str) -> None:
    with pytest.raises(TypeError, match=field):
        made(kind)


NOTE = Note(
    id=UUID(int=1),
    customer_id="acme",
    created_at=datetime(2026, 11, 21),
    text="milk",
    colour=Colour.PINK,
    stars=2,
    done=True,
    weight=Decimal("0.5"),
    back=Colour.YELLOW,
)


@pytest.mark.parametrize("thing", [NOTE, Pair("acme", 1, Colour.PINK, "x"), Pair("acme", 1, None, None)], ids=str)
def test_a_thing_is_made_of_a_row_as_it_was_whatever_other_columns_there_are(thing: Any) -> None:
    row = {"column_of_a_later_release": 1, **{name: getattr(thing, name) for name in reversed(made(type(thing)).columns.keys())}}
    row = {name: value.value if isinstance(value, Colour) else value for name, value in row.items()}
    found = from_row(type(thing))(row)  # type: ignore[arg-type]
    assert found == thing
    assert type(found.colour) is type(thing.colour)
