"""A connection to the configured database, and a line for each reason why there is none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.commands import CommandFailed
from api.settings import Settings
from core.errors import StorageUnavailable
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.pool import create_engine

EXAMPLE: Final = "postgresql://user:password@host:5432/name"
SCHEMES: Final = ("postgresql", "postgres")


@asynccontextmanager
async def engine_for(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Raises CommandFailed for a URL that is none."""
    engine = create_engine(parsed(settings).render_as_string(hide_password=False), None, settings.statements)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def reached(settings: Settings) -> AsyncIterator[None]:
    """Raises CommandFailed where the database is out of reach, refuses, or has something else in the way."""
    try:
        with storage_errors():
            yield
    except (StorageUnavailable, SQLAlchemyError, asyncpg.PostgresError) as error:
        raise CommandFailed(_told(parsed(settings), _root(error))) from error


def parsed(settings: Settings) -> URL:
    """The database's address. Raises CommandFailed where it is none, or of another kind of database."""
    assert settings.database_url
    try:
        url = make_url(settings.database_url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise CommandFailed(f"TOLLGATE_DATABASE_URL is not a URL such as {EXAMPLE}") from error
    if url.drivername not in SCHEMES:
        raise CommandFailed(f"TOLLGATE_DATABASE_URL begins with {url.drivername}://, and only PostgreSQL is supported: {EXAMPLE}")
    return url


def _told(url: URL, reason: BaseException) -> str:
    shown = url.render_as_string(hide_password=True)
    first = (str(reason).splitlines() or [type(reason).__name__])[0]
    match reason:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return f"The database at {shown} refuses the user or the password: {first}."
        case asyncpg.InvalidCatalogNameError():
            return f"The server at {shown} has no database {url.database!r}: create it, with CREATE DATABASE or 'createdb'."
        case asyncpg.DuplicateTableError() | asyncpg.DuplicateObjectError():
            return f"Something else is in the way in {shown}: {first}. Give Tollgate a database or a schema of its own."
        case asyncpg.InsufficientPrivilegeError():
            return f"The user of {shown} may not do this: {first}."
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError():
            return f"The tables in {shown} are not Tollgate's: {first}. Give it a database or a schema of its own."
    return f"The database at {shown} is out of reach: {first}"


def _root(error: Exception) -> BaseException:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return cause
