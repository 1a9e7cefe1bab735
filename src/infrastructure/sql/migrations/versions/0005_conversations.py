"""Conversations and their messages."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = ()


def upgrade() -> None:
    """Statement by statement, since the driver prepares each."""
    for statement in STATEMENTS:
        op.execute(statement)
