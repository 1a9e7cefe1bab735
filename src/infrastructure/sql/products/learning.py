"""Learning plans, practice sessions and assessments in PostgreSQL."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from asyncpg import Record
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)

from core.learning.assessment import Assessment
from core.learning.learning_plan import TOTAL_SESSIONS_MAX, LearningPlan, LearningPlanNotFound
from core.learning.ports import Assessments, LearnerKey, LearningPlanReader, LearningPlans, PracticeSessions
from core.learning.practice_session import Practice, PracticeSession
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.fields import table_of
from infrastructure.sql.driver.reader import of_known
from infrastructure.sql.driver.repository import SqlRepository
from infrastructure.sql.driver.rows import Rows, all_but_key
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.driver.stored import Stored

learning_plan: Final = Table(
    "learning_plan",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("total_sessions", Integer, nullable=False),
    Column("sessions_per_week", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
)

practice_session: Final = Table(
    "practice_session",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("learning_plan_id", Text),
    Column("started_at", DateTime(timezone=True)),
    Column("reservation_id", Uuid),
    Column("duration_seconds", BigInteger),
    Column("conversation_type", Text),
    Column("summary", Text),
    Column("saved_at", DateTime(timezone=True)),
    Column("over_limit", Boolean, nullable=False, server_default=text("false")),
    Column("abandoned_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("customer_id", "id"),
    ForeignKeyConstraint(["customer_id", "learning_plan_id"], ["learning_plan.customer_id", "learning_plan.id"]),
    Index(
        "ix_practice_session_learning_plan",
        "customer_id",
        "learning_plan_id",
        postgresql_where=text("saved_at IS NOT NULL AND learning_plan_id IS NOT NULL"),
    ),
)

assessment: Final = table_of(Assessment, "assessment")

_FIND_PLANS: Final = HotStatement(
    f"""
    SELECT p.*, practised.sessions AS practised_sessions
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:ids AS text[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (SELECT * FROM learning_plan AS p WHERE p.customer_id = wanted.customer_id AND p.id = wanted.id LIMIT 1) AS p
    CROSS JOIN LATERAL (
        SELECT count(*) AS sessions
        FROM (
            SELECT FROM practice_session AS s
            WHERE s.customer_id = wanted.customer_id AND s.learning_plan_id = wanted.id AND s.saved_at IS NOT NULL
            LIMIT {TOTAL_SESSIONS_MAX}
        ) AS saved
        OFFSET 0
    ) AS practised
    """
)
"""A plan's progress is counted, up to the longest plan, so that it never disagrees with the sessions."""

EVIDENCE: Final = """
    SELECT customer_id, 'practice_sessions' AS feature, 'learning' AS source, id AS reference, CAST(1 AS bigint) AS quantity,
        saved_at AS occurred_at, CAST(NULL AS text) AS dimension
    FROM practice_session WHERE saved_at IS NOT NULL
    UNION ALL
    SELECT customer_id, 'assessments', 'learning', id, 1, taken_at, NULL
    FROM assessment
"""
"""The usage that saved practice sessions and assessments themselves show, for reconciliation."""


def _from_session(session: PracticeSession) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    practice = session.practice
    return (
        session.customer_id,
        session.id,
        session.learning_plan_id,
        session.started_at,
        session.reservation_id,
        practice and practice.duration_seconds,
        practice and practice.conversation_type,
        practice and practice.summary,
        session.saved_at,
        session.over_limit,
        session.abandoned_at,
    )


def _to_session(row: Record) -> PracticeSession:
    saved = row["saved_at"] is not None
    return PracticeSession(
        id=row["id"],
        customer_id=row["customer_id"],
        learning_plan_id=row["learning_plan_id"],
        started_at=row["started_at"],
        reservation_id=row["reservation_id"],
        practice=Practice(row["duration_seconds"], row["conversation_type"], row["summary"]) if saved else None,
        saved_at=row["saved_at"],
        over_limit=row["over_limit"],
        abandoned_at=row["abandoned_at"],
    )


PLANS: Final = Rows.alike(learning_plan, LearningPlan, changing=())

PRACTICE_SESSIONS: Final = Rows(practice_session, _from_session, _to_session, changing=all_but_key(practice_session))

ASSESSMENTS: Final = Rows.alike(assessment, Assessment)


class SqlLearningPlans(SqlRepository[LearnerKey, LearningPlan], LearningPlans):
    """Within the transaction of a unit of work."""

    rows = PLANS

    async def find(self, keys: Sequence[LearnerKey]) -> Iterable[LearningPlan]:
        return await _find_plans(self._driver, keys)


class SqlPracticeSessions(SqlRepository[LearnerKey, PracticeSession], PracticeSessions):
    """Within the transaction of a unit of work."""

    rows = PRACTICE_SESSIONS


class SqlAssessments(SqlRepository[LearnerKey, Assessment], Assessments):
    """Within the transaction of a unit of work."""

    rows = ASSESSMENTS


STORED: Final = Stored(
    {"learning_plans": SqlLearningPlans, "practice_sessions": SqlPracticeSessions, "assessments": SqlAssessments},
    EVIDENCE,
    (learning_plan, practice_session, assessment),
)


class SqlLearningPlanReader(LearningPlanReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def get(self, key: LearnerKey) -> LearningPlan:
        found = await of_known(self._connections, key.customer_id, lambda driver: _find_plans(driver, [key]))
        if not found:
            raise LearningPlanNotFound(key.id)
        return found[0]


async def _find_plans(driver: Driver, keys: Sequence[LearnerKey]) -> list[LearningPlan]:
    parameters = {"customer_ids": [key.customer_id for key in keys], "ids": [key.id for key in keys]}
    return [PLANS.from_row(row) for row in await _FIND_PLANS.fetch(driver, parameters)]
