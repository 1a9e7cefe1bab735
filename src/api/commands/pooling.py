"""What stands between the service and its database, found out once, at the start."""

from collections.abc import Callable
from typing import Final

from api.commands import CommandFailed
from api.commands.reach import parsed, reached
from api.settings import Settings
from infrastructure.sql.driver.pooler import Pooler, Statements, pooler_at

KEPT: Final = "The database is behind a pooler that keeps prepared statements (PgBouncer 1.21 or newer)."
FORGOTTEN: Final = (
    "The database is behind a pooler that keeps no prepared statements (PgBouncer before 1.21, or with max_prepared_statements = 0). "
    "Set TOLLGATE_STATEMENTS=unnamed where it pools transactions, or TOLLGATE_STATEMENTS=named where it pools whole sessions."
)


async def require_statements(settings: Settings, say: Callable[[str], None]) -> Settings:
    """The settings, with the way in which statements are sent. Raises CommandFailed where it has to be set, and is not."""
    if settings.statements is not None:
        return settings
    async with reached(settings):
        found = await pooler_at(parsed(settings).render_as_string(hide_password=False))
    if found is Pooler.FORGETS_STATEMENTS:
        raise CommandFailed(FORGOTTEN)
    if found is Pooler.KEEPS_STATEMENTS:
        say(KEPT)
    return settings.model_copy(update={"statements": Statements.NAMED})
