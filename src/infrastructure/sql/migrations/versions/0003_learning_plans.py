"""Learning plans, practice sessions and assessments."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = ()


def upgrade() -> None:
    """Statement by statement, since the driver prepares each."""
    for statement in STATEMENTS:
        op.execute(statement)
