"""Lists of reservations and operations by their state, and when a practice session was abandoned."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE INDEX ix_reservation_newest ON reservation (customer_id, state, created_at DESC, id DESC)",
    "CREATE INDEX ix_ai_operation_newest ON ai_operation (customer_id, status, created_at DESC, id DESC)",
    "ALTER TABLE practice_session ADD COLUMN abandoned_at timestamptz",
)


def upgrade() -> None:
    """In the order in which the lists are asked for; the column is empty where an older release writes."""
    for statement in STATEMENTS:
        op.execute(statement)
