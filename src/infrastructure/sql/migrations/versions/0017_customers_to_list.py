"""Where customers are written to, and in which language; and the index that lists them."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE customer ADD COLUMN email text, ADD COLUMN locale text",
    "CREATE INDEX ix_customer_newest ON customer (created_at DESC, customer_id DESC)",
)


def upgrade() -> None:
    """Nobody has said either of any customer yet."""
    for statement in STATEMENTS:
        op.execute(statement)
