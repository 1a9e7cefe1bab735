"""Which database a command works on, for how long it runs, and who may create or change it.

Only `serve` creates an embedded database. Only `db upgrade`, and a `serve` that is told so, changes the schema of a configured one.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from api.commands import CommandFailed
from api.commands.reach import engine_for, reached
from api.container import Container, closed
from api.settings import Settings
from core.errors import SchemaNewer
from infrastructure.embedded.data_directory import DataDirectory, DataDirectoryError
from infrastructure.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresError
from infrastructure.sql.registry import tables_of
from infrastructure.sql.upkeep.migrate import Standing, standing, upgrade

NOTHING_HERE = "Nothing here: set TOLLGATE_DATABASE_URL or pass --data-dir. (No service has kept its data in {}.)"
UPGRADE = "run 'tollgate db upgrade'"
NEWER = SchemaNewer.message
_HAS = {
    Standing.EMPTY: "has no schema of Tollgate's",
    Standing.BEHIND: "has an older schema",
    Standing.LACKING: "has no tables yet of a product that is switched on by TOLLGATE_PRODUCTS",
}


@contextmanager
def database(settings: Settings, *, creates: bool = False) -> Iterator[Settings]:
    """The settings with a database that answers: the configured one, the running service's, or one started for this command.

    Raises CommandFailed with status 2 where there is none; nothing is created then.
    """
    if settings.database_url:
        yield settings
        return
    if not creates and not (settings.data_dir / "postgres" / "PG_VERSION").exists():
        raise CommandFailed(NOTHING_HERE.format(settings.data_dir), status=2)
    try:
        directory = DataDirectory(settings.data_dir)
        postgres = EmbeddedPostgres(directory.path)
        if url := postgres.running_url():
            yield with_database(settings, url)
            return
        with directory, embedded(directory) as url:
            yield with_database(settings, url)
    except (DataDirectoryError, EmbeddedPostgresError) as error:
        raise CommandFailed(str(error)) from error


@contextmanager
def embedded(directory: DataDirectory) -> Iterator[str]:
    """An embedded PostgreSQL, which is stopped at the end. The directory has to be acquired."""
    postgres = EmbeddedPostgres(directory.path)
    try:
        yield postgres.start()
    finally:
        postgres.stop()


def with_database(settings: Settings, url: str) -> Settings:
    """The settings, with this database; in the environment, too, where worker processes will look for it."""
    os.environ["TOLLGATE_DATABASE_URL"] = url
    return settings.model_copy(update={"database_url": url})


async def migrated(settings: Settings) -> None:
    """Brings the database up to date. Raises CommandFailed where it is out of reach, or newer than this release."""
    async with engine_for(settings) as engine, reached(settings):
        products = tables_of(settings.products)
        if await standing(engine, products) is Standing.NEWER:
            raise CommandFailed(NEWER)
        await upgrade(engine, products=products)


async def stands(settings: Settings) -> Standing:
    """How the database's schema compares with this release. Raises CommandFailed where it is out of reach."""
    async with engine_for(settings) as engine, reached(settings):
        return await standing(engine, tables_of(settings.products))


def require_current(found: Standing) -> None:
    """Raises CommandFailed where the schema is not this release's."""
    if found is Standing.NEWER:
        raise CommandFailed(NEWER)
    if found is not Standing.CURRENT:
        raise CommandFailed(f"The database {_HAS[found]}: {UPGRADE}.")


@asynccontextmanager
async def container(settings: Settings) -> AsyncIterator[Container]:
    """A container over a database whose schema is this release's, for one command."""
    require_current(await stands(settings))
    async with opened(settings) as made:
        yield made


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Container]:
    """A container over a database as it is."""
    # A command may take longer than a request: it reconciles many customers, or a long history.
    made = Container(settings=settings.model_copy(update={"statement_seconds_max": None}))
    try:
        yield made
    finally:
        await closed(made)
