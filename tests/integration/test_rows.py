"""Rows are written as they are, whatever they have in common, and whatever else is written with them."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from decimal import Decimal
from itertools import permutations, product
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.schema import CreateTable

from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import Rows, all_but_key, write
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver
from tests.integration.kinds import NOW, learning_plans, operations, practice_sessions, steps
from tests.integration.units_of_work import SqlStorage

VALUES: Final[dict[type[Any], tuple[Any, ...]]] = {
    Text: ("", "one", "e\u0301 \U0001f600"),
    BigInteger: (0, 4_000_000_000_000_000_000, -1),
    Integer: (0, 2_000_000_000, -1),
    Boolean: (False, True),
    Numeric: (Decimal(0), Decimal("78.5"), Decimal("1e-20")),
    Uuid: (UUID(int=0), UUID(int=1)),
    DateTime: (NOW, NOW + timedelta(microseconds=1)),
    LargeBinary: (b"", b"\x00\xff"),
    JSONB: ("{}", '{"sessions": 4}'),
    JSON: ("{}", '{"sessions": 4}'),
}
"""Some of every type that a column of ours has."""

ROW: Final = ("customer", 1, "note")


@pytest.fixture
async def driver(connections: Connections) -> AsyncIterator[Driver]:
    """A connection of the test's own: temporary tables end with it."""
    live, _ = await connections.take(lambda live: live.driver.execute("SELECT 1"))
    yield live.driver
    connections.discard(live)


async def rows_of(driver: Driver, *columns: Column[Any], key: tuple[str, ...] = (), name: str = "tally", **how: Any) -> Rows[Any]:
    """Of a table that is made for the test; its rows are tuples."""
    constraints = [PrimaryKeyConstraint(*key)] if key else []
    table = Table(name, MetaData(), *columns, *constraints, prefixes=["TEMPORARY"])
    await driver.execute(str(CreateTable(table).compile(dialect=postgresql.dialect())))  # type: ignore[no-untyped-call]
    if how.get("changing") == "all":
        how["changing"] = all_but_key(table)
    return Rows(table, tuple, tuple, **how)


async def tally(driver: Driver, **how: Any) -> Rows[Any]:
    columns = Column("customer_id", Text, nullable=False), Column("quantity", BigInteger), Column("note", Text)
    return await rows_of(driver, *columns, **how)


async def taken(driver: Driver, name: str = "tally") -> Counter[tuple[Any, ...]]:
    """What is in the table, which is empty then."""
    return Counter(tuple(row) for row in await driver.fetch(f"DELETE FROM {name} RETURNING *"))


async def test_every_row_is_written_whatever_rows_have_in_common(driver: Driver) -> None:
    rows = await tally(driver)
    some = list(product(("acme", "globex"), (None, 1), (None, "x")))
    for count in (1, 2, 3):
        for written in product(some, repeat=count):
            await write(driver, [rows.put(written)])
            assert await taken(driver) == Counter(written), written


async def test_a_hundred_identical_rows_are_a_hundred_rows(driver: Driver) -> None:
    rows = await tally(driver)
    await write(driver, [rows.put([ROW] * 100)])
    assert await taken(driver) == {ROW: 100}


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
async def test_values_of_every_type_are_written_as_they_are(driver: Driver, kind: type[Any]) -> None:
    rows = await rows_of(driver, Column("customer_id", Text), Column("value", kind(timezone=True) if kind is DateTime else kind))
    for pair in product((None, *VALUES[kind]), repeat=2):
        await write(driver, [rows.put([("acme", value) for value in pair])])
        read = [row["value"] for row in await driver.fetch("DELETE FROM tally RETURNING value")]
        assert read == [json.loads(value) if value and kind in (JSON, JSONB) else value for value in pair]


def test_these_are_the_types_of_all_columns() -> None:
    assert {type(column.type) for table in metadata.tables.values() for column in table.columns} <= VALUES.keys()


async def test_what_is_found_is_what_the_keys_name_in_full(driver: Driver) -> None:
    rows = await tally(driver, key=("customer_id", "quantity"))
    stored = [("acme", 1, "a"), ("acme", 2, None), ("globex", 1, "c")]
    await write(driver, [rows.put(stored)])
    assert sorted(await rows.find(driver, [("acme", 2), ("globex", 1), ("globex", 2), ("nobody", 1)])) == stored[1:]
    assert await rows.find(driver, []) == []


async def test_what_is_removed_is_what_the_keys_name_in_full(driver: Driver) -> None:
    rows = await tally(driver, key=("customer_id", "quantity"))
    await write(driver, [rows.put([("acme", 1, "a"), ("acme", 2, "b"), ("globex", 1, "c"), ("globex", 2, "d")])])
    await write(driver, [rows.remove([("acme", 2), ("acme", 3)])])
    await write(driver, [rows.remove([("globex", 1), ("globex", 1)])])
    assert await taken(driver) == {("acme", 1, "a"): 1, ("globex", 2, "d"): 1}


async def test_under_a_key_that_is_taken_a_row_is_refused_or_kept_as_it_was_or_replaced(driver: Driver) -> None:
    key, before, after = ("customer_id",), ("acme", 1, "before"), ("acme", None, "after")
    added = await tally(driver, key=key, name="added")
    kept = await tally(driver, key=key, name="kept", changing=())
    replaced = await tally(driver, key=key, name="replaced", changing="all")
    for rows in (added, kept, replaced):
        await write(driver, [rows.put([before])])
    with pytest.raises(asyncpg.UniqueViolationError):
        await write(driver, [added.put([after])])
    for rows in (kept, replaced):
        await write(driver, [rows.put([after, ("globex", 2, None)])])
    assert await taken(driver, "added") == {before: 1}
    assert await taken(driver, "kept") == {before: 1, ("globex", 2, None): 1}
    assert await taken(driver, "replaced") == {after: 1, ("globex", 2, None): 1}


async def test_several_changes_of_one_table_are_written_together(driver: Driver) -> None:
    rows = await tally(driver, key=("customer_id",), changing="all")
    await write(driver, [rows.put([("acme", 1, "a"), ("globex", 1, "b")])])
    await write(driver, [rows.put([("acme", 2, "x")]), rows.put([("zed", 3, "y"), ("zoe", 4, "z")]), rows.remove([("globex",)])])
    assert await taken(driver) == {("acme", 2, "x"): 1, ("zed", 3, "y"): 1, ("zoe", 4, "z"): 1}


async def test_a_table_and_its_columns_may_be_called_by_words_of_sql(driver: Driver) -> None:
    columns = Column("user", Text), Column("end", DateTime(timezone=True)), Column("limit", BigInteger)
    rows = await rows_of(driver, *columns, key=("user", "limit"), name="order", changing=("end",))
    await write(driver, [rows.put([("acme", None, 1), ("acme", None, 2)])])
    await write(driver, [rows.put([("acme", NOW, 1)]), rows.remove([("acme", 2)])])
    assert await rows.find(driver, [("acme", 1), ("acme", 2)]) == [("acme", NOW, 1)]


async def keep(storage: SqlStorage, things: Iterable[tuple[str, Any]]) -> None:
    """Saves things in this order, by their repositories, in one transaction."""
    async with storage.open() as uow:
        for repository, thing in things:
            getattr(uow, repository).save(thing)
        await uow.commit()


async def is_there(storage: SqlStorage, name: str, thing: Any) -> bool:
    async with storage.open() as uow:
        repository = getattr(uow, name)
        return bool(await repository.find([repository.key(thing)]))


async def test_what_belongs_together_is_written_in_any_order(connections: Connections) -> None:
    """Practice sessions lead to their plan and steps to their operation, by foreign keys."""
    storage = SqlStorage(connections)
    for number, order in enumerate(permutations(("learning_plans", "practice_sessions", "operations", "steps"))):
        customer = f"customer {number}"
        things = {"learning_plans": learning_plans(customer).first, "practice_sessions": practice_sessions(customer).next}
        things |= {"operations": operations(customer).first, "steps": steps(customer).first}
        await keep(storage, [(repository, things[repository]) for repository in order])
        assert [await is_there(storage, *saved) for saved in things.items()] == [True] * 4


async def test_what_leads_to_nothing_is_not_written_and_neither_is_anything_with_it(connections: Connections) -> None:
    storage, plan = SqlStorage(connections), learning_plans("acme").first
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await keep(storage, [("learning_plans", plan), ("practice_sessions", practice_sessions("globex").next)])
    assert not await is_there(storage, "learning_plans", plan)
