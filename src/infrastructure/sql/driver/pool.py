"""The connection pool to PostgreSQL."""

import asyncio
from functools import lru_cache
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from infrastructure.sql.driver import instants
from infrastructure.sql.driver.address import CONNECT_TIMEOUT_SECONDS, dsn_of
from infrastructure.sql.driver.pooler import Statements
from infrastructure.sql.driver.server_connection import ServerConnection

POOL_SIZE: Final = 8
POOL_OVERFLOW: Final = 8
POOL_TIMEOUT_SECONDS: Final = 5
STATEMENT_SECONDS_MAX: Final = 30.0


def create_engine(
    url: str, statement_seconds_max: float | None = STATEMENT_SECONDS_MAX, statements: str | None = Statements.NAMED
) -> AsyncEngine:
    """A pool for a `postgresql://` URL. Connections are opened when they are first needed. Statements are named unless told otherwise.

    No setting of a connection but those that PgBouncer knows how to hand on.
    """
    unnamed = statements == Statements.UNNAMED
    # Without a cache, the driver sends an unnamed statement and its execution in one message.
    cache: dict[str, Any] = {"statement_cache_size": 0} if unnamed else {}
    dsn = dsn_of(url)

    async def connect() -> Any:
        """By the driver itself, which knows what may stand in such a URL: `?sslmode=require`, `?host=/socket/directory`, …"""
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            driver = await asyncpg.connect(
                dsn,
                connection_class=ServerConnection,
                command_timeout=statement_seconds_max,
                server_settings={"application_name": "tollgate", "timezone": "UTC"},
                **cache,
            )
            try:
                await instants.install(driver)
            except BaseException:
                driver.terminate()
                raise
        return driver

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        connect_args={"prepared_statement_cache_size": 0, "prepared_statement_name_func": str} if unnamed else {},
    )


@lru_cache(maxsize=16)
def autocommitting(engine: AsyncEngine) -> AsyncEngine:
    """The same pool, without transactions of SQLAlchemy's making: for reads, and for a unit of work, which begins and ends its own.

    Made once for each engine: SQLAlchemy takes as long to make it as to hand out a connection.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT")
