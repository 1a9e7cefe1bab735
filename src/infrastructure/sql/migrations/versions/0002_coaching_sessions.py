"""Coaching sessions and their uploads."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table, and the index of its listing."""
    op.execute(
        """
        CREATE TABLE coaching_session (
            customer_id text NOT NULL,
            id uuid NOT NULL,
            title text NOT NULL,
            language text NOT NULL,
            stt_provider text NOT NULL,
            status text NOT NULL,
            file_id uuid,
            file_content_type text,
            file_size_bytes bigint,
            duration_seconds bigint,
            failure_reason text,
            created_at timestamptz NOT NULL,
            finished_at timestamptz,
            CONSTRAINT pk_coaching_session PRIMARY KEY (customer_id, id)
        )
        """
    )
    op.execute("CREATE INDEX ix_coaching_session_newest ON coaching_session (customer_id, created_at DESC, id DESC)")
