"""What customers were refused by their plans."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE refusal (
        customer_id text NOT NULL,
        id uuid NOT NULL,
        at timestamptz NOT NULL,
        request_id text NOT NULL,
        operation text NOT NULL,
        kind text NOT NULL,
        feature text,
        error text NOT NULL,
        message text NOT NULL,
        facts json NOT NULL,
        CONSTRAINT pk_refusal PRIMARY KEY (customer_id, id)
    )
    """,
    "CREATE INDEX ix_refusal_newest ON refusal (customer_id, at DESC, id DESC)",
    "CREATE INDEX ix_refusal_at ON refusal (at)",
)


def upgrade() -> None:
    """A table, an index for lists, and one for the sweeper."""
    for statement in STATEMENTS:
        op.execute(statement)
