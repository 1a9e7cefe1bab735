"""What stands between the service and its database: nothing, or a pooler such as PgBouncer, and whether that keeps prepared statements."""

from enum import StrEnum
from uuid import uuid4

from infrastructure.sql.driver.address import lone_connection
from infrastructure.sql.driver.statements import Driver


class Statements(StrEnum):
    """How statements are sent."""

    NAMED = "named"
    """Prepared once a connection and then called by name: the quickest."""
    UNNAMED = "unnamed"
    """Parsed anew each time: for a pooler that hands every transaction to another connection and knows no prepared statements."""


class Pooler(StrEnum):
    """What answers at the database's address."""

    NONE = "none"
    KEEPS_STATEMENTS = "keeps_statements"
    """PgBouncer 1.21 and later, with `max_prepared_statements` above 0."""
    FORGETS_STATEMENTS = "forgets_statements"
    """It hands names on as they are. This works where it pools whole sessions, and not where it pools transactions."""


async def pooler_at(url: str) -> Pooler:
    """Asks on a connection of its own, with statements that every pooler understands.

    A pooler makes up the process id that a connection is greeted with. One that keeps prepared statements gives them names of its own.
    Raises what the driver raises where the database is out of reach.
    """
    async with lone_connection(url) as driver, driver.transaction():
        if await driver.fetchval("SELECT pg_backend_pid()") == driver.get_server_pid():
            return Pooler.NONE
        return await _asked(driver)


async def _asked(driver: Driver) -> Pooler:
    kept = await driver.prepare("SELECT 1", name=f"tollgate_{uuid4().hex}")
    if not await driver.fetchval("SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = $1)", kept.get_name()):
        return Pooler.KEEPS_STATEMENTS
    await driver.execute(f"DEALLOCATE {kept.get_name()}")
    return Pooler.FORGETS_STATEMENTS
