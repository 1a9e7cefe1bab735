"""Where a database is, as the driver reads it, and a connection to it that no pool knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy.engine import make_url

from infrastructure.sql.driver.statements import Driver

CONNECT_TIMEOUT_SECONDS: Final = 5


def dsn_of(url: str) -> str:
    """The same address under the scheme that the driver knows, its password included."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@asynccontextmanager
async def lone_connection(url: str) -> AsyncIterator[Driver]:
    """For a few questions at the start. Its statements are unnamed, which every pooler understands. Raises what the driver raises."""
    driver = await asyncpg.connect(
        dsn_of(url), timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=CONNECT_TIMEOUT_SECONDS, statement_cache_size=0
    )
    try:
        yield driver
    finally:
        await driver.close()
