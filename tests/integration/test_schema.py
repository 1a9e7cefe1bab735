"""The database's schema: what migrations make of it is what the code knows, and all of a customer lies together."""

import pkgutil
import re
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

import infrastructure.sql
from infrastructure.sql.driver.errors import LOST_RACES
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.upkeep.migrate import upgrade
from tests.integration.coaching import at_once
from tests.integration.service import Databases, tollgate

OUTBOX = "outbox_event"
"""An event may be about no customer, so that its id alone is its key."""

OF_NO_CUSTOMER = {"console_session", "deleted_usage", "event_type", "feature", "feature_on_outage", "plan_version", "service_key"}

COLUMNS = """
    SELECT table_name AS "table", column_name AS "column", is_nullable AS nullable FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""
CONSTRAINTS = """
    SELECT conname AS name, contype::text AS kind, conrelid::regclass::text AS "table", confrelid::regclass::text AS target,
        pg_get_constraintdef(oid) AS definition
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
"""
UNIQUE_INDEXES = """
    SELECT t.relname AS "table", i.relname AS "index", x.indisprimary AS is_primary, a.attname AS "first"
    FROM pg_index AS x
    JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_class AS i ON i.oid = x.indexrelid
    LEFT JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]
    WHERE x.indisunique AND t.relnamespace = 'public'::regnamespace AND t.relname <> 'alembic_version'
"""


@pytest.fixture(autouse=True)
def all_tables() -> None:
    """Tables are known once their modules are imported."""
    for module in pkgutil.walk_packages(infrastructure.sql.__path__, "infrastructure.sql."):
        if not module.name.startswith("infrastructure.sql.migrations"):
            import_module(module.name)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def rows(connection: AsyncConnection, statement: str) -> list[Row[Any]]:
    return list(await connection.execute(text(statement)))


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


async def test_the_migrated_schema_is_the_one_that_the_code_knows(connection: AsyncConnection) -> None:
    assert metadata.tables
    assert await connection.run_sync(differences) == []


async def test_columns_and_primary_keys_are_the_ones_that_the_code_knows(connection: AsyncConnection) -> None:
    """Once more without alembic, which does not compare primary keys."""
    tables = metadata.tables.values()
    columns = {(table.name, column.name, "YES" if column.nullable else "NO") for table in tables for column in table.columns}
    assert {tuple(row) for row in await rows(connection, COLUMNS)} == columns
    keys = {table.name: f"PRIMARY KEY ({', '.join(column.name for column in table.primary_key)})" for table in tables}
    definitions = {row.table: row.definition.replace('"', "") for row in await rows(connection, CONSTRAINTS) if row.kind == "p"}
    assert definitions == keys


async def test_every_table_but_the_reference_tables_belongs_to_customers(connection: AsyncConnection) -> None:
    columns = await rows(connection, COLUMNS)
    assert {row.table for row in columns} - {row.table for row in columns if row.column == "customer_id"} == OF_NO_CUSTOMER


async def test_every_primary_key_and_unique_constraint_of_a_customers_table_starts_with_the_customer(connection: AsyncConnection) -> None:
    indexes = [row for row in await rows(connection, UNIQUE_INDEXES) if row.table not in OF_NO_CUSTOMER and row.index != f"pk_{OUTBOX}"]
    assert len(indexes) >= 5
    assert {row.index: row.first for row in indexes if row.first != "customer_id"} == {}


async def test_constraints_are_named_and_foreign_keys_stay_within_a_customer_or_lead_to_a_reference_table(
    connection: AsyncConnection,
) -> None:
    prefixes = {"p": "pk_", "u": "uq_", "f": "fk_", "c": "ck_"}
    for row in await rows(connection, CONSTRAINTS):
        assert row.kind == "n" or row.name.startswith(prefixes[row.kind] + row.table), row.name
        if row.kind == "f":
            assert row.target in OF_NO_CUSTOMER or row.definition.startswith("FOREIGN KEY (customer_id,"), row.name


async def test_whatever_a_unique_violation_can_name_is_called_by_its_kind_and_its_table(connection: AsyncConnection) -> None:
    """Constraints, and unique indexes that are none: the database reports either by name, and the name decides what happens."""
    for row in await rows(connection, UNIQUE_INDEXES):
        assert re.fullmatch(f"pk_{row.table}" if row.is_primary else rf"uq_{row.table}_\w+", row.index), row.index


async def test_every_race_that_can_be_lost_is_about_a_unique_constraint_that_exists(connection: AsyncConnection) -> None:
    """A name that is renamed in one place only would turn lost races into errors."""
    assert LOST_RACES
    assert LOST_RACES - {row.index for row in await rows(connection, UNIQUE_INDEXES)} == set()


async def test_there_are_no_triggers_sequences_or_enums(connection: AsyncConnection) -> None:
    for statement in (
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
        "SELECT relname FROM pg_class WHERE relkind = 'S'",
        "SELECT enumlabel FROM pg_enum",
    ):
        assert await rows(connection, statement) == []


async def test_upgrading_again_changes_nothing(connection: AsyncConnection, database_url: str) -> None:
    before = await rows(connection, "SELECT * FROM alembic_version")
    await connection.rollback()
    engine = create_engine(database_url)
    await upgrade(engine)
    await engine.dispose()
    assert await rows(connection, "SELECT * FROM alembic_version") == before


def test_several_who_upgrade_at_once_all_succeed(databases: Databases) -> None:
    url = databases.empty()
    for done in at_once(*[lambda: tollgate("db", "upgrade", database_url=url)] * 2):
        assert (done.returncode, done.stdout, done.stderr) == (0, "The schema is up to date.\n", "")
    databases.drop(url)
