"""Brings a database's schema up to this version of the code, and says how the two compare.

The versions make the tables of all reference products. Of products that are switched off they are removed again where the database was
new, before anybody sees them; where a product is switched on later, they are made as they are today. So a version that changes such a
table does it only where the table is there.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from infrastructure.sql.driver.schema import metadata

_LOCK: Final = text("SELECT pg_advisory_xact_lock(7023061)")


class ProductTables(NamedTuple):
    """Tables of the reference products that are switched on, and of those that are switched off."""

    on: tuple[Table, ...] = ()
    off: tuple[Table, ...] = ()


CHAIN: Final = ProductTables()
"""Whatever the versions have made."""


class Standing(StrEnum):
    """How a database's schema compares with what this version of the code knows."""

    EMPTY = "empty"
    BEHIND = "behind"
    CURRENT = "current"
    NEWER = "newer"
    """A migration has run that this version does not know."""
    LACKING = "lacking"
    """A product that is switched on has no tables yet."""


async def standing(engine: AsyncEngine, products: ProductTables = CHAIN) -> Standing:
    """Changes nothing."""
    async with engine.connect() as connection:
        return await connection.run_sync(_standing, products)


async def upgrade(engine: AsyncEngine, revision: str = "head", products: ProductTables = CHAIN) -> None:
    """Runs what is missing, in one transaction; several processes may ask at once. Without `products` it is as the versions make it."""
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        await connection.run_sync(_upgrade, revision, products)


def _standing(connection: Connection, products: ProductTables) -> Standing:
    scripts = ScriptDirectory.from_config(_config())
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        return Standing.EMPTY
    if revision == scripts.get_current_head():
        there = inspect(connection)
        return Standing.CURRENT if all(there.has_table(table.name) for table in products.on) else Standing.LACKING
    known = {script.revision for script in scripts.walk_revisions()}
    return Standing.BEHIND if revision in known else Standing.NEWER


def _upgrade(connection: Connection, revision: str, products: ProductTables) -> None:
    was_empty = MigrationContext.configure(connection).get_current_revision() is None
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    if was_empty:
        metadata.drop_all(connection, tables=products.off)
    else:
        metadata.create_all(connection, tables=products.on)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    return config
