"""AI operations and their steps."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = (
    """
    CREATE TABLE ai_operation (
        customer_id text NOT NULL,
        id text NOT NULL,
        feature text NOT NULL,
        estimated_cost bigint,
        estimated_runs bigint,
        hold_id uuid,
        status text NOT NULL,
        total_cost bigint NOT NULL,
        total_runs bigint NOT NULL,
        step_count integer NOT NULL,
        created_at timestamptz NOT NULL,
        finished_at timestamptz,
        CONSTRAINT pk_ai_operation PRIMARY KEY (customer_id, id)
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE ai_operation_step (
        customer_id text NOT NULL,
        operation_id text NOT NULL,
        id text NOT NULL,
        position integer NOT NULL,
        feature text NOT NULL,
        cost bigint NOT NULL,
        billable_run boolean NOT NULL,
        occurred_at timestamptz NOT NULL,
        over_limit boolean NOT NULL,
        CONSTRAINT pk_ai_operation_step PRIMARY KEY (customer_id, operation_id, id),
        CONSTRAINT fk_ai_operation_step_ai_operation FOREIGN KEY (customer_id, operation_id) REFERENCES ai_operation (customer_id, id)
    )
    """,
    # A step's ledger records refer to it by its position.
    "CREATE UNIQUE INDEX uq_ai_operation_step_position ON ai_operation_step (customer_id, operation_id, position)",
)


def upgrade() -> None:
    """Statement by statement, since the driver prepares each."""
    for statement in STATEMENTS:
        op.execute(statement)
