"""Plans over time: what was agreed with a customer and when, billing periods of several intervals, and the week's first day.

What an older release writes meanwhile has the defaults. A customer that it makes has no entries in the history until it changes; the
history then begins with the customer as it is.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

LOCK_ACCOUNTS_V3 = """
    CREATE FUNCTION lock_accounts_v3(customer_ids text[], features text[], customers text[], at timestamptz)
    RETURNS TABLE (
        customer_id text, feature text, used bigint, period_start timestamptz, period_end timestamptz,
        held bigint,
        plan_key text, plan_version integer, billing_anchor timestamptz, billing_interval text, time_zone text,
        billing_interval_count integer, week_starts_on text, agreement text
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
            CAST(NULL AS bigint),
            CAST(NULL AS text), CAST(NULL AS integer), CAST(NULL AS timestamptz), CAST(NULL AS text), CAST(NULL AS text),
            CAST(NULL AS integer), CAST(NULL AS text), CAST(NULL AS text);

        RETURN QUERY
        SELECT c.customer_id, NULL, CAST(NULL AS bigint), CAST(NULL AS timestamptz), CAST(NULL AS timestamptz),
            CAST(NULL AS bigint),
            c.plan_key, c.plan_version, c.billing_anchor, c.billing_interval, c.time_zone,
            c.billing_interval_count, c.week_starts_on, CAST(c.agreement AS text)
        FROM unnest(customers) AS wanted (customer_id)
        CROSS JOIN LATERAL (SELECT * FROM customer AS c WHERE c.customer_id = wanted.customer_id LIMIT 1) AS c
        UNION ALL
        SELECT wanted.customer_id, wanted.feature, NULL, NULL, NULL, holds.held,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM unnest(customer_ids, features) AS wanted (customer_id, feature)
        CROSS JOIN LATERAL (
            SELECT CAST(sum(h.quantity) AS bigint) AS held
            FROM usage_hold AS h
            WHERE h.customer_id = wanted.customer_id AND h.feature = wanted.feature AND h.expires_at > at
            OFFSET 0
        ) AS holds
        WHERE holds.held > 0;
    END
    $$
"""

STATEMENTS = (
    """
    ALTER TABLE customer
        ADD COLUMN billing_interval_count integer NOT NULL DEFAULT 1,
        ADD COLUMN week_starts_on text NOT NULL DEFAULT 'monday',
        ADD COLUMN agreement json
    """,
    """
    CREATE TABLE terms_change (
        customer_id text NOT NULL,
        id uuid NOT NULL,
        effective_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        recorded_by text NOT NULL,
        reason text,
        change json NOT NULL,
        withdrawn_at timestamptz,
        withdrawn_by text,
        CONSTRAINT pk_terms_change PRIMARY KEY (customer_id, id)
    )
    """,
    """
    INSERT INTO terms_change (customer_id, id, effective_at, recorded_at, recorded_by, change)
    SELECT customer_id, gen_random_uuid(), created_at, created_at, 'migration', json_build_object(
        'plan', json_build_object('key', plan_key, 'version', plan_version),
        'billing', json_build_object(
            'anchor', CASE WHEN billing_anchor IS NULL THEN NULL
                ELSE to_char(billing_anchor AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') END,
            'interval', billing_interval, 'time_zone', time_zone, 'interval_count', 1, 'week_starts_on', 'monday'
        )
    )
    FROM customer
    """,
    LOCK_ACCOUNTS_V3,
)


def upgrade() -> None:
    """The history begins with what each customer has today, as if it had been so from its creation."""
    for statement in STATEMENTS:
        op.execute(statement)
