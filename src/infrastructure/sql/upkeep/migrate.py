"""Brings a database's schema up to this version of the code."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK: Final = text("SELECT pg_advisory_xact_lock(7023061)")


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Runs what is missing, in one transaction; several processes may ask at once."""
    async with engine.begin() as connection:
        await connection.execute(_LOCK)
        await connection.run_sync(_upgrade, revision)


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
