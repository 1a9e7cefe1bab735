"""The connection pool to PostgreSQL."""

from typing import Final

from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL_SIZE: Final = 8
POOL_OVERFLOW: Final = 8
POOL_TIMEOUT_SECONDS: Final = 5
CONNECT_TIMEOUT_SECONDS: Final = 5
COMMAND_TIMEOUT_SECONDS: Final = 30


def create_engine(url: str) -> AsyncEngine:
    """A pool for a `postgresql://` URL. Connections are opened when they are first needed."""
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        connect_args={
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "command_timeout": COMMAND_TIMEOUT_SECONDS,
            "server_settings": {"application_name": "tollgate", "timezone": "UTC", "lock_timeout": "10s"},
        },
    )
