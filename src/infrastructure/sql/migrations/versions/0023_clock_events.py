"""Indexes by which what the clock brings about is found: grants that end, scheduled changes that are due."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE INDEX ix_usage_grant_expires_at ON usage_grant (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE INDEX ix_customer_scheduled ON customer (customer_id) WHERE (agreement -> 'scheduled') IS NOT NULL",
)


def upgrade() -> None:
    """Two indexes, each of few rows."""
    for statement in STATEMENTS:
        op.execute(statement)
