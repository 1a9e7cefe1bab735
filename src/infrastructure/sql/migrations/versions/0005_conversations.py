"""Conversations and their messages."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    # An open conversation is rewritten by each of its messages: room on each page keeps the new row versions beside the old ones.
    """
    CREATE TABLE conversation (
        customer_id text NOT NULL,
        id uuid NOT NULL,
        counterparty text NOT NULL,
        started_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        message_count bigint NOT NULL,
        merged_into uuid,
        CONSTRAINT pk_conversation PRIMARY KEY (customer_id, id)
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
    """,
    "CREATE INDEX ix_conversation_window ON conversation (customer_id, counterparty, expires_at) WHERE merged_into IS NULL",
    "CREATE INDEX ix_conversation_newest ON conversation (customer_id, started_at DESC, id DESC) WHERE merged_into IS NULL",
    """
    CREATE TABLE message (
        customer_id text NOT NULL,
        id text NOT NULL,
        direction text NOT NULL,
        channel text NOT NULL,
        sent_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        conversation_id uuid NOT NULL,
        counterparty text NOT NULL,
        started_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        message_count bigint NOT NULL,
        new_conversation boolean NOT NULL,
        used bigint NOT NULL,
        usage_limit bigint,
        remaining bigint,
        over_limit boolean NOT NULL,
        CONSTRAINT pk_message PRIMARY KEY (customer_id, id)
    ) WITH (autovacuum_vacuum_insert_scale_factor = 0.05)
    """,
)


def upgrade() -> None:
    """Statement by statement, since the driver prepares each."""
    for statement in STATEMENTS:
        op.execute(statement)
