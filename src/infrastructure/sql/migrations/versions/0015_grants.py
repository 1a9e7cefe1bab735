"""Grants, their entries, and what a counter carries of them.

What an older release counts meanwhile leaves the funds as they were: the next one that looks finds that they are about less usage than
there is, and opens the books.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

LOCK_ACCOUNTS_V4 = """
    CREATE FUNCTION lock_accounts_v4(customer_ids text[], features text[], customers text[], at timestamptz)
    RETURNS TABLE (
        customer_id text, feature text, used bigint, period_start timestamptz, period_end timestamptz, funds text,
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
        ON CONFLICT (customer_id, feature) DO UPDATE SET used = counter.used
        RETURNING counter.customer_id, counter.feature, counter.used, counter.period_start, counter.period_end,
            CAST(counter.funds AS text),
            CAST(NULL AS bigint), CAST(NULL AS timestamptz),
            CAST(NULL AS text), CAST(NULL AS integer), CAST(NULL AS timestamptz), CAST(NULL AS text), CAST(NULL AS text),
            CAST(NULL AS integer), CAST(NULL AS text), CAST(NULL AS text), CAST(NULL AS timestamptz);

        RETURN QUERY
        SELECT c.customer_id, NULL, CAST(NULL AS bigint), CAST(NULL AS timestamptz), CAST(NULL AS timestamptz), CAST(NULL AS text),
            CAST(NULL AS bigint), CAST(NULL AS timestamptz),
            c.plan_key, c.plan_version, c.billing_anchor, c.billing_interval, c.time_zone,
            c.billing_interval_count, c.week_starts_on, CAST(c.agreement AS text), c.updated_at
        FROM unnest(customers) AS wanted (customer_id)
        CROSS JOIN LATERAL (SELECT * FROM customer AS c WHERE c.customer_id = wanted.customer_id LIMIT 1) AS c
        UNION ALL
        SELECT wanted.customer_id, wanted.feature, NULL, NULL, NULL, NULL, holds.held, holds.held_until,
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
    "ALTER TABLE usage_counter ADD COLUMN funds json",
    """
    CREATE TABLE usage_grant (
        customer_id text NOT NULL,
        id uuid NOT NULL,
        feature text NOT NULL,
        kind text NOT NULL,
        quantity bigint NOT NULL,
        priority integer NOT NULL,
        effective_at timestamptz NOT NULL,
        expires_at timestamptz,
        reference text,
        reason text,
        created_at timestamptz NOT NULL,
        created_by text,
        voided_at timestamptz,
        voided_by text,
        void_reason text,
        CONSTRAINT pk_usage_grant PRIMARY KEY (customer_id, id)
    )
    """,
    "CREATE INDEX ix_usage_grant_feature ON usage_grant (customer_id, feature)",
    "CREATE UNIQUE INDEX uq_usage_grant_reference ON usage_grant (customer_id, reference) WHERE reference IS NOT NULL",
    """
    CREATE TABLE grant_entry (
        customer_id text NOT NULL,
        id uuid NOT NULL,
        grant_id uuid NOT NULL,
        feature text NOT NULL,
        kind text NOT NULL,
        quantity bigint NOT NULL,
        occurred_at timestamptz NOT NULL,
        period_start timestamptz NOT NULL,
        period_end timestamptz NOT NULL,
        record_id uuid,
        recorded_at timestamptz NOT NULL,
        CONSTRAINT pk_grant_entry PRIMARY KEY (customer_id, id)
    )
    """,
    "CREATE INDEX ix_grant_entry_grant ON grant_entry (customer_id, grant_id, occurred_at, id) INCLUDE (kind, quantity)",
    LOCK_ACCOUNTS_V4,
)


def upgrade() -> None:
    """Adds; nothing that is there changes."""
    for statement in STATEMENTS:
        op.execute(statement)
