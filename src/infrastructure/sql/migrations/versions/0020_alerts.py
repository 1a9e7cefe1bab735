"""Alerts: what was raised, and what a counter carries of it.

What an older release counts meanwhile leaves what a counter carries as it was: it names its period, and so is known to be about another
one once the counter has moved on.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

LOCK_ACCOUNTS_V5 = """
    CREATE FUNCTION lock_accounts_v5(customer_ids text[], features text[], customers text[], at timestamptz)
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
        ON CONFLICT (customer_id, feature) DO UPDATE SET used = counter.used
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
    "ALTER TABLE usage_counter ADD COLUMN raised json",
    """
    CREATE TABLE usage_alert (
        customer_id text NOT NULL,
        feature text NOT NULL,
        period_start timestamptz NOT NULL,
        period_end timestamptz NOT NULL,
        name text NOT NULL,
        raised_at timestamptz NOT NULL,
        used bigint NOT NULL,
        usage_limit bigint,
        event_id uuid NOT NULL,
        CONSTRAINT pk_usage_alert PRIMARY KEY (customer_id, feature, period_start, period_end, name)
    )
    """,
    "CREATE INDEX ix_usage_alert_newest ON usage_alert (customer_id, raised_at DESC, event_id DESC)",
    LOCK_ACCOUNTS_V5,
)


def upgrade() -> None:
    """Adds; nothing that is there changes."""
    for statement in STATEMENTS:
        op.execute(statement)
