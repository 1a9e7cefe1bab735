"""Ledger entries by what they refer to: for those who ask what was booked for an order or a session, and for giving it back."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """In the order of the list that is asked for."""
    op.execute(
        """
        CREATE INDEX ix_usage_record_reference ON usage_record (customer_id, reference, occurred_at, id) WHERE reference IS NOT NULL
        """
    )
