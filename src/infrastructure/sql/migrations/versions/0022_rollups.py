"""Rollups of the ledger, what is stale of them, and until when a counter's time is closed.

A release that does not know of `closed_until` locks by the function of before. What it books is marked nowhere; so that function takes
the counter's `closed_until` away, and all of its rollups are made anew.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

LOCK_ACCOUNTS_V6 = """
    CREATE FUNCTION lock_accounts_v6(customer_ids text[], features text[], customers text[], at timestamptz)
    RETURNS TABLE (
        customer_id text, feature text, used bigint, period_start timestamptz, period_end timestamptz, funds text, raised text,
        held bigint, held_until timestamptz,
        plan_key text, plan_version integer, billing_anchor timestamptz, billing_interval text, time_zone text,
        billing_interval_count integer, week_starts_on text, agreement text, updated_at timestamptz,
        closed_until timestamptz
    )
    -- VOLATILE: each of its statements sees what was committed when it began, so that the second one sees what the last holder of a
    -- lock has left behind.
    LANGUAGE plpgsql VOLATILE AS $$
    #variable_conflict use_column
    BEGIN
        -- Created or locked always in the same order, so that transactions queue up and never wait for each other in a circle.
        RETURN QUERY
        INSERT INTO usage_counter AS counter (customer_id, feature)
        SELECT wanted.customer_id, wanted.feature
        FROM unnest(customer_ids, features) AS wanted (customer_id, feature)
        CROSS JOIN LATERAL (SELECT 1 FROM customer AS c WHERE c.customer_id = wanted.customer_id LIMIT 1) AS known
        ORDER BY wanted.customer_id COLLATE "C", wanted.feature COLLATE "C"
        ON CONFLICT (customer_id, feature) DO UPDATE SET used = counter.used
        RETURNING counter.customer_id, counter.feature, counter.used, counter.period_start, counter.period_end,
            CAST(counter.funds AS text), CAST(counter.raised AS text),
            CAST(NULL AS bigint), CAST(NULL AS timestamptz),
            CAST(NULL AS text), CAST(NULL AS integer), CAST(NULL AS timestamptz), CAST(NULL AS text), CAST(NULL AS text),
            CAST(NULL AS integer), CAST(NULL AS text), CAST(NULL AS text), CAST(NULL AS timestamptz), counter.closed_until;

        RETURN QUERY
        SELECT c.customer_id, NULL, CAST(NULL AS bigint), CAST(NULL AS timestamptz), CAST(NULL AS timestamptz), CAST(NULL AS text),
            CAST(NULL AS text),
            CAST(NULL AS bigint), CAST(NULL AS timestamptz),
            c.plan_key, c.plan_version, c.billing_anchor, c.billing_interval, c.time_zone,
            c.billing_interval_count, c.week_starts_on, CAST(c.agreement AS text), c.updated_at, CAST(NULL AS timestamptz)
        FROM unnest(customers) AS wanted (customer_id)
        CROSS JOIN LATERAL (SELECT * FROM customer AS c WHERE c.customer_id = wanted.customer_id LIMIT 1) AS c
        UNION ALL
        SELECT wanted.customer_id, wanted.feature, NULL, NULL, NULL, NULL, NULL, holds.held, holds.held_until,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM unnest(customer_ids, features) AS wanted (customer_id, feature)
        CROSS JOIN LATERAL (
            SELECT CAST(sum(h.quantity) AS bigint) AS held, max(h.expires_at) AS held_until
            FROM usage_hold AS h
            WHERE h.customer_id = wanted.customer_id AND h.feature = wanted.feature AND h.expires_at > at
            OFFSET 0
        ) AS holds
        WHERE holds.held > 0;
    END
    $$
"""

LOCK_ACCOUNTS_V5 = """
    CREATE OR REPLACE FUNCTION lock_accounts_v5(customer_ids text[], features text[], customers text[], at timestamptz)
    RETURNS TABLE (
        customer_id text, feature text, used bigint, period_start timestamptz, period_end timestamptz, funds text, raised text,
        held bigint, held_until timestamptz,
        plan_key text, plan_version integer, billing_anchor timestamptz, billing_interval text, time_zone text,
        billing_interval_count integer, week_starts_on text, agreement text, updated_at timestamptz
    )
    -- VOLATILE: each of its statements sees what was committed when it began, so that the second one sees what the last holder of a
    -- lock has left behind.
    LANGUAGE plpgsql VOLATILE AS $$
    #variable_conflict use_column
    BEGIN
        -- Created or locked always in the same order, so that transactions queue up and never wait for each other in a circle.
        RETURN QUERY
        INSERT INTO usage_counter AS counter (customer_id, feature)
        SELECT wanted.customer_id, wanted.feature
        FROM unnest(customer_ids, features) AS wanted (customer_id, feature)
        CROSS JOIN LATERAL (SELECT 1 FROM customer AS c WHERE c.customer_id = wanted.customer_id LIMIT 1) AS known
        ORDER BY wanted.customer_id COLLATE "C", wanted.feature COLLATE "C"
        ON CONFLICT (customer_id, feature) DO UPDATE SET used = counter.used, closed_until = NULL
        RETURNING counter.customer_id, counter.feature, counter.used, counter.period_start, counter.period_end,
            CAST(counter.funds AS text), CAST(counter.raised AS text),
            CAST(NULL AS bigint), CAST(NULL AS timestamptz),
            CAST(NULL AS text), CAST(NULL AS integer), CAST(NULL AS timestamptz), CAST(NULL AS text), CAST(NULL AS text),
            CAST(NULL AS integer), CAST(NULL AS text), CAST(NULL AS text), CAST(NULL AS timestamptz);

        RETURN QUERY
        SELECT c.customer_id, NULL, CAST(NULL AS bigint), CAST(NULL AS timestamptz), CAST(NULL AS timestamptz), CAST(NULL AS text),
            CAST(NULL AS text),
            CAST(NULL AS bigint), CAST(NULL AS timestamptz),
            c.plan_key, c.plan_version, c.billing_anchor, c.billing_interval, c.time_zone,
            c.billing_interval_count, c.week_starts_on, CAST(c.agreement AS text), c.updated_at
        FROM unnest(customers) AS wanted (customer_id)
        CROSS JOIN LATERAL (SELECT * FROM customer AS c WHERE c.customer_id = wanted.customer_id LIMIT 1) AS c
        UNION ALL
        SELECT wanted.customer_id, wanted.feature, NULL, NULL, NULL, NULL, NULL, holds.held, holds.held_until,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM unnest(customer_ids, features) AS wanted (customer_id, feature)
        CROSS JOIN LATERAL (
            SELECT CAST(sum(h.quantity) AS bigint) AS held, max(h.expires_at) AS held_until
            FROM usage_hold AS h
            WHERE h.customer_id = wanted.customer_id AND h.feature = wanted.feature AND h.expires_at > at
            OFFSET 0
        ) AS holds
        WHERE holds.held > 0;
    END
    $$
"""

STATEMENTS = (
    "ALTER TABLE usage_counter ADD COLUMN closed_until timestamptz",
    """
    CREATE TABLE usage_rollup (
        customer_id text NOT NULL,
        feature text NOT NULL,
        grain_seconds integer NOT NULL,
        start timestamptz NOT NULL,
        dimension text NOT NULL,
        quantity bigint NOT NULL,
        CONSTRAINT pk_usage_rollup PRIMARY KEY (customer_id, feature, grain_seconds, start, dimension)
    ) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)
    """,
    """
    CREATE TABLE usage_rollup_state (
        customer_id text NOT NULL,
        feature text NOT NULL,
        rolled_until timestamptz NOT NULL,
        CONSTRAINT pk_usage_rollup_state PRIMARY KEY (customer_id, feature)
    )
    """,
    """
    CREATE TABLE usage_rollup_stale (
        customer_id text NOT NULL,
        feature text NOT NULL,
        start timestamptz NOT NULL,
        id uuid NOT NULL,
        CONSTRAINT pk_usage_rollup_stale PRIMARY KEY (customer_id, feature, start, id)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
    """,
    LOCK_ACCOUNTS_V6,
    LOCK_ACCOUNTS_V5,
)


def upgrade() -> None:
    """Adds; and the function of the release before takes away what that release does not know."""
    for statement in STATEMENTS:
        op.execute(statement)
