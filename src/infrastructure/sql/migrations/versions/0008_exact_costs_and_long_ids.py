"""Costs below a nano-dollar, and unique indexes that take ids of any length.

While machines are moved to this release one by one, the old one goes on: new columns have defaults, and constraints keep their names
where the old release knows them. Until it is gone it looks events up without the help of an index on their ids, which is slow.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# An index entry has at most 2,704 bytes, and three ids of 255 characters have up to 3,060, in UTF-8. So two of them are indexed by their
# SHA-256, of which nobody has ever found two inputs; the length tells where the first one ends.
#
# The cast from text to bytea reads backslashes as escapes. convert_to() would do without, but no index may be made of it.
IDS_DIGEST_V1 = r"""
    CREATE FUNCTION ids_digest_v1(first text, second text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sha256(CAST(replace(CAST(length(first) AS text) || ':' || first || second, '\', '\\') AS bytea))
"""

STATEMENTS = (
    # What is below a whole nano-dollar, in 10^-18 of one; and what was booked once such rests had added up to one.
    """
    ALTER TABLE ai_operation
        ADD COLUMN total_cost_fraction bigint NOT NULL DEFAULT 0,
        ADD COLUMN closing_cost bigint NOT NULL DEFAULT 0
    """,
    """
    ALTER TABLE ai_operation_step
        ADD COLUMN cost_fraction bigint NOT NULL DEFAULT 0,
        ADD COLUMN carried_cost bigint NOT NULL DEFAULT 0
    """,
    IDS_DIGEST_V1,
    "CREATE UNIQUE INDEX uq_ai_operation_step_id ON ai_operation_step (customer_id, ids_digest_v1(operation_id, id))",
    "ALTER TABLE ai_operation_step DROP CONSTRAINT pk_ai_operation_step",
    "ALTER INDEX uq_ai_operation_step_position RENAME TO pk_ai_operation_step",
    "ALTER TABLE ai_operation_step ADD CONSTRAINT pk_ai_operation_step PRIMARY KEY USING INDEX pk_ai_operation_step",
    "DROP INDEX uq_usage_record_event",
    """
    CREATE UNIQUE INDEX uq_usage_record_event ON usage_record (customer_id, ids_digest_v1(source, event_id)) WHERE event_id IS NOT NULL
    """,
)


def upgrade() -> None:
    """Statement by statement, since the driver prepares each."""
    for statement in STATEMENTS:
        op.execute(statement)
