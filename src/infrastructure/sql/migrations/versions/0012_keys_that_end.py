"""Service keys end at a time that is set, and show when they were last used."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATEMENTS = ("ALTER TABLE service_key ADD COLUMN expires_at timestamptz, ADD COLUMN last_used_at timestamptz",)


def upgrade() -> None:
    """Both are empty where an older release writes. It does not look at them, so until its last process has ended a key may end late."""
    for statement in STATEMENTS:
        op.execute(statement)
