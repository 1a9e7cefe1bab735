"""Brings a database's schema up to this version of the code, and says how the two compare."""

from enum import StrEnum
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK: Final = text("SELECT pg_advisory_xact_lock(7023061)")


class Standing(StrEnum):
    """How a database's schema compares with what this version of the code knows."""

    EMPTY = "empty"
    BEHIND = "behind"
    CURRENT = "current"
    NEWER = "newer"
    """A migration has run that this version does not know."""


async def standing(engine: AsyncEngine) -> Standing:
    """Changes nothing."""
    async with engine.connect() as connection:
        return await connection.run_sync(_standing)


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Runs what is missing, in one transaction; several processes may ask at once."""
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        await connection.run_sync(_upgrade, revision)


def _standing(connection: Connection) -> Standing:
    scripts = ScriptDirectory.from_config(_config())
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        return Standing.EMPTY
    if revision == scripts.get_current_head():
        return Standing.CURRENT
    known = {script.revision for script in scripts.walk_revisions()}
    return Standing.BEHIND if revision in known else Standing.NEWER


def _upgrade(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    return config
