"""Locking accounts: the engine's own facts only.

The name carries a version: while machines are moved to a new release one by one, the old one calls the old function. The function that
is replaced is dropped by the release after this one.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LOCK_ACCOUNTS_V2 = """
    CREATE FUNCTION lock_accounts_v2(customer_ids text[], features text[], customers text[], at timestamptz)
    RETURNS TABLE (
        customer_id text, feature text, used bigint, period_start timestamptz, period_end timestamptz, held bigint,
        plan_key text, plan_version integer, billing_anchor timestamptz, billing_interval text, time_zone text
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
        RETURNING counter.customer_id, counter.feature, counter.used, counter.period_start, counter.period_end, CAST(NULL AS bigint),
            CAST(NULL AS text), CAST(NULL AS integer), CAST(NULL AS timestamptz), CAST(NULL AS text), CAST(NULL AS text);

        RETURN QUERY
        SELECT c.customer_id, NULL, CAST(NULL AS bigint), CAST(NULL AS timestamptz), CAST(NULL AS timestamptz), CAST(NULL AS bigint),
            c.plan_key, c.plan_version, c.billing_anchor, c.billing_interval, c.time_zone
        FROM unnest(customers) AS wanted (customer_id)
        CROSS JOIN LATERAL (SELECT * FROM customer AS c WHERE c.customer_id = wanted.customer_id LIMIT 1) AS c
        UNION ALL
        SELECT wanted.customer_id, wanted.feature, NULL, NULL, NULL, holds.held, NULL, NULL, NULL, NULL, NULL
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


def upgrade() -> None:
    """A second function beside the first; another form of it is another migration."""
    op.execute(LOCK_ACCOUNTS_V2)
