"""Learning plans, practice sessions and assessments."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = (
    """
    CREATE TABLE learning_plan (
        customer_id text NOT NULL,
        id text NOT NULL,
        language text NOT NULL,
        level text NOT NULL,
        total_sessions integer NOT NULL,
        sessions_per_week integer NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_learning_plan PRIMARY KEY (customer_id, id)
    )
    """,
    """
    CREATE TABLE practice_session (
        customer_id text NOT NULL,
        id text NOT NULL,
        learning_plan_id text,
        started_at timestamptz,
        reservation_id uuid,
        duration_seconds bigint,
        conversation_type text,
        summary text,
        saved_at timestamptz,
        over_limit boolean NOT NULL DEFAULT false,
        CONSTRAINT pk_practice_session PRIMARY KEY (customer_id, id),
        CONSTRAINT fk_practice_session_learning_plan FOREIGN KEY (customer_id, learning_plan_id) REFERENCES learning_plan (customer_id, id)
    )
    """,
    """
    CREATE INDEX ix_practice_session_learning_plan ON practice_session (customer_id, learning_plan_id)
    WHERE saved_at IS NOT NULL AND learning_plan_id IS NOT NULL
    """,
    """
    CREATE TABLE assessment (
        customer_id text NOT NULL,
        id text NOT NULL,
        kind text NOT NULL,
        score numeric,
        taken_at timestamptz NOT NULL,
        CONSTRAINT pk_assessment PRIMARY KEY (customer_id, id)
    )
    """,
)


def upgrade() -> None:
    """Statement by statement, since the driver prepares each."""
    for statement in STATEMENTS:
        op.execute(statement)
