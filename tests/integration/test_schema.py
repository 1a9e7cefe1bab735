"""The database's schema: what migrations make of it is what the code knows, and all of a customer lies together."""

import pkgutil
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

import infrastructure.sql
from infrastructure.sql.engine import create_engine
from infrastructure.sql.migrate import upgrade
from infrastructure.sql.schema import metadata
from tests.integration.coaching import at_once
from tests.integration.service import Databases, tollgate

OF_NO_CUSTOMER = {"alembic_version", "feature", "plan_version", "service_key"}

UNIQUE_INDEXES = """
    SELECT t.relname AS "table", i.relname AS "index", a.attname AS "first"
    FROM pg_index AS x
    JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_class AS i ON i.oid = x.indexrelid
    LEFT JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]
    WHERE x.indisunique AND t.relnamespace = 'public'::regnamespace
"""
CONSTRAINTS = "SELECT conname, contype::text, conrelid::regclass::text AS on FROM pg_constraint WHERE connamespace = 'public'::regnamespace"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


def import_all_tables() -> None:
    for module in pkgutil.iter_modules(infrastructure.sql.__path__, "infrastructure.sql."):
        if not module.ispkg:
            import_module(module.name)


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


async def test_the_migrated_schema_is_the_one_that_the_code_knows(connection: AsyncConnection) -> None:
    import_all_tables()
    assert metadata.tables
    assert await connection.run_sync(differences) == []


async def test_columns_and_primary_keys_are_the_ones_that_the_code_knows(connection: AsyncConnection) -> None:
    """Once more without alembic, which does not compare primary keys."""
    import_all_tables()
    columns = "SELECT table_name, column_name, is_nullable FROM information_schema.columns WHERE table_schema = 'public'"
    migrated = {tuple(row) for row in await connection.execute(text(columns)) if row.table_name != "alembic_version"}
    known = {
        (table.name, column.name, "YES" if column.nullable else "NO") for table in metadata.tables.values() for column in table.columns
    }
    assert migrated == known
    rows = await connection.execute(
        text("SELECT relname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid WHERE contype = 'p'")
    )
    keys = {table.name: f"PRIMARY KEY ({', '.join(column.name for column in table.primary_key)})" for table in metadata.tables.values()}
    assert {name: definition for name, definition in rows if name != "alembic_version"} == keys


async def test_every_table_but_the_reference_tables_belongs_to_customers(connection: AsyncConnection) -> None:
    statement = (
        "SELECT table_name, bool_or(column_name = 'customer_id') FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1"
    )
    assert {name for name, has_customer in await connection.execute(text(statement)) if not has_customer} == OF_NO_CUSTOMER


async def test_every_primary_key_and_unique_constraint_of_a_customers_table_starts_with_the_customer(connection: AsyncConnection) -> None:
    indexes = [row for row in await connection.execute(text(UNIQUE_INDEXES)) if row.table not in OF_NO_CUSTOMER]
    assert len(indexes) >= 5
    assert {row.index: row.first for row in indexes if row.first != "customer_id"} == {}


async def test_constraints_have_names_of_ours_and_foreign_keys_stay_within_a_customer_or_lead_to_reference_tables(
    connection: AsyncConnection,
) -> None:
    prefixes = {"p": "pk_", "u": "uq_", "f": "fk_", "c": "ck_"}
    rows = [row for row in await connection.execute(text(CONSTRAINTS)) if row.contype in prefixes and row.on != "alembic_version"]
    assert rows
    assert [row.conname for row in rows if not row.conname.startswith(prefixes[row.contype])] == []
    foreign = "SELECT conname, confrelid::regclass::text AS target, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE contype = 'f'"
    for row in await connection.execute(text(foreign)):
        assert row.target in OF_NO_CUSTOMER or row.definition.startswith("FOREIGN KEY (customer_id,"), row.conname


async def test_there_are_no_triggers_sequences_or_enums(connection: AsyncConnection) -> None:
    for what, statement in {
        "triggers": "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal",
        "sequences": "SELECT count(*) FROM pg_class WHERE relkind = 'S'",
        "enums": "SELECT count(*) FROM pg_enum",
    }.items():
        assert (await connection.execute(text(statement))).scalar_one() == 0, what


async def test_upgrading_again_changes_nothing(connection: AsyncConnection, database_url: str) -> None:
    before = list(await connection.execute(text("SELECT * FROM alembic_version")))
    await connection.rollback()
    engine = create_engine(database_url)
    await upgrade(engine)
    await engine.dispose()
    assert list(await connection.execute(text("SELECT * FROM alembic_version"))) == before


def test_several_who_upgrade_at_once_all_succeed(databases: Databases) -> None:
    url = databases.empty()
    done = at_once(*[lambda: tollgate("db", "upgrade", database_url=url)] * 3)
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3
    databases.drop(url)
