"""Which database a command works on, and for how long it runs."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from api.commands import CommandFailed
from api.container import Container, closed
from api.settings import Settings
from core.errors import StorageUnavailable
from infrastructure.embedded.data_directory import DataDirectory, DataDirectoryError
from infrastructure.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresError
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.upkeep.migrate import upgrade


@contextmanager
def database(settings: Settings) -> Iterator[Settings]:
    """The settings with a database that answers: the configured one, the running service's, or one started for this command."""
    if settings.database_url:
        yield settings
        return
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
    """Brings the database up to date. Raises CommandFailed where it is out of reach."""
    assert settings.database_url
    try:
        engine = create_engine(settings.database_url, None)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise CommandFailed("TOLLGATE_DATABASE_URL is not a URL such as postgresql://user:password@host:5432/name") from error
    try:
        with storage_errors():
            await upgrade(engine)
    except (StorageUnavailable, SQLAlchemyError) as error:
        raise CommandFailed(f"The database at {_shown(settings.database_url)} is out of reach: {_reason(error)}") from error
    finally:
        await engine.dispose()


@asynccontextmanager
async def container(settings: Settings) -> AsyncIterator[Container]:
    """A container over a migrated database, for one command."""
    await migrated(settings)
    # A command may take longer than a request: it reconciles many customers, or a long history.
    made = Container(settings=settings.model_copy(update={"statement_seconds_max": None}))
    try:
        yield made
    finally:
        await closed(made)


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _reason(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return (str(cause).splitlines() or [type(cause).__name__])[0]
