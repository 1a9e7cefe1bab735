"""Addresses of customers' usage pages, and who is signed in to the console."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE portal_session (
        customer_id text NOT NULL,
        id uuid NOT NULL,
        secret_hash bytea NOT NULL,
        locale text,
        theme text NOT NULL,
        embed_origins text NOT NULL,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL,
        expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        CONSTRAINT pk_portal_session PRIMARY KEY (customer_id, id)
    )
    """,
    "CREATE INDEX ix_portal_session_id ON portal_session (id)",
    "CREATE INDEX ix_portal_session_expires_at ON portal_session (expires_at)",
    """
    CREATE TABLE console_session (
        id uuid NOT NULL,
        secret_hash bytea NOT NULL,
        key_id uuid,
        key_hash bytea NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT pk_console_session PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX ix_console_session_expires_at ON console_session (expires_at)",
)


def upgrade() -> None:
    """Two tables, each with an index for the sweeper."""
    for statement in STATEMENTS:
        op.execute(statement)
