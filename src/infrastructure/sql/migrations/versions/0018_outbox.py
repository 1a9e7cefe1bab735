"""The outbox: what leaves the service, written by the transaction that made it true."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE outbox_event (
        id uuid NOT NULL,
        type text NOT NULL,
        customer_id text,
        occurred_at timestamptz NOT NULL,
        payload jsonb NOT NULL,
        once text,
        created_at timestamptz NOT NULL DEFAULT now(),
        fanned_out_at timestamptz,
        CONSTRAINT pk_outbox_event PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX ix_outbox_event_waiting ON outbox_event (id) WHERE fanned_out_at IS NULL",
    "CREATE INDEX ix_outbox_event_customer ON outbox_event (customer_id, created_at)",
    "CREATE UNIQUE INDEX uq_outbox_event_once ON outbox_event (customer_id, once) WHERE once IS NOT NULL",
)


def upgrade() -> None:
    """One table, with an index for those who hand events out."""
    for statement in STATEMENTS:
        op.execute(statement)
