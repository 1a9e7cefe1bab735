"""Event types that are mapped to features."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One small table of no customer's, as plans and features are."""
    op.execute("CREATE TABLE event_type (key text NOT NULL, meters json NOT NULL, CONSTRAINT pk_event_type PRIMARY KEY (key))")
