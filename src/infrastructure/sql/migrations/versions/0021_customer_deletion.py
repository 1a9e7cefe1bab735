"""Customers that are being deleted, and what was used by those that are gone."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE customer_deletion (
        customer_id text NOT NULL,
        id uuid NOT NULL,
        requested_at timestamptz NOT NULL,
        requested_by text NOT NULL,
        keeps_sums boolean NOT NULL,
        begun_at timestamptz,
        CONSTRAINT pk_customer_deletion PRIMARY KEY (customer_id)
    )
    """,
    """
    CREATE TABLE deleted_usage (
        feature text NOT NULL,
        month timestamptz NOT NULL,
        quantity numeric NOT NULL,
        CONSTRAINT pk_deleted_usage PRIMARY KEY (feature, month)
    )
    """,
)


def upgrade() -> None:
    """Two tables; nothing that is there changes."""
    for statement in STATEMENTS:
        op.execute(statement)
