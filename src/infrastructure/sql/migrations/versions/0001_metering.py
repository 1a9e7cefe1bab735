"""Customers, plans, and the engine: ledger, counters, reservations, idempotency keys, service keys."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE feature (
        key text CONSTRAINT pk_feature PRIMARY KEY,
        unit text NOT NULL,
        resolution bigint NOT NULL
    )
    """,
    """
    CREATE TABLE plan_version (
        plan_key text NOT NULL,
        version integer NOT NULL,
        name text NOT NULL,
        entitlements json NOT NULL,
        CONSTRAINT pk_plan_version PRIMARY KEY (plan_key, version)
    )
    """,
    """
    CREATE TABLE customer (
        customer_id text CONSTRAINT pk_customer PRIMARY KEY,
        plan_key text NOT NULL,
        plan_version integer NOT NULL,
        billing_anchor timestamptz,
        billing_interval text NOT NULL,
        time_zone text NOT NULL,
        phone_region text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT fk_customer_plan_version FOREIGN KEY (plan_key, plan_version) REFERENCES plan_version (plan_key, version)
    )
    """,
    # Counters are rewritten all the time: room on each page keeps the new row versions beside the old ones (HOT updates).
    """
    CREATE TABLE usage_counter (
        customer_id text NOT NULL,
        feature text NOT NULL,
        used bigint NOT NULL DEFAULT 0,
        period_start timestamptz,
        period_end timestamptz,
        CONSTRAINT pk_usage_counter PRIMARY KEY (customer_id, feature)
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
    """,
    """
    CREATE TABLE usage_record (
        customer_id text NOT NULL,
        id uuid NOT NULL,
        feature text NOT NULL,
        quantity bigint NOT NULL,
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        source text NOT NULL,
        recorded_by text,
        reference text,
        overage bigint NOT NULL,
        corrects uuid,
        reason text,
        event_id text,
        dimension text,
        CONSTRAINT pk_usage_record PRIMARY KEY (customer_id, id)
    ) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)
    """,
    "CREATE INDEX ix_usage_record_period ON usage_record (customer_id, feature, occurred_at, id) INCLUDE (quantity, dimension)",
    "CREATE UNIQUE INDEX uq_usage_record_event ON usage_record (customer_id, source, event_id) WHERE event_id IS NOT NULL",
    "CREATE INDEX ix_usage_record_corrects ON usage_record (customer_id, corrects) WHERE corrects IS NOT NULL",
    """
    CREATE TABLE reservation (
        customer_id text NOT NULL,
        id uuid NOT NULL,
        state text NOT NULL,
        usage jsonb NOT NULL,
        held jsonb NOT NULL,
        actual jsonb,
        late boolean NOT NULL,
        reference text,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        finished_at timestamptz,
        CONSTRAINT pk_reservation PRIMARY KEY (customer_id, id)
    )
    """,
    """
    CREATE TABLE usage_hold (
        customer_id text NOT NULL,
        feature text NOT NULL,
        reservation_id uuid NOT NULL,
        quantity bigint NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT pk_usage_hold PRIMARY KEY (customer_id, feature, reservation_id)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
    """,
    "CREATE INDEX ix_usage_hold_expires_at ON usage_hold (expires_at)",
    """
    CREATE TABLE idempotency_key (
        customer_id text NOT NULL,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        reply bytea NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_idempotency_key PRIMARY KEY (customer_id, key)
    )
    """,
    "CREATE INDEX ix_idempotency_key_created_at ON idempotency_key (created_at)",
    """
    CREATE TABLE service_key (
        id uuid CONSTRAINT pk_service_key PRIMARY KEY,
        name text,
        scope text NOT NULL,
        secret_hash bytea NOT NULL,
        created_at timestamptz NOT NULL,
        revoked_at timestamptz
    )
    """,
)


def upgrade() -> None:
    """Statement by statement, since the driver prepares each."""
    for statement in STATEMENTS:
        op.execute(statement)
