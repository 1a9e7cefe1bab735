"""Learning plans, practice sessions and assessments in PostgreSQL."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.learning.assessment import Assessment
from core.learning.learning_plan import TOTAL_SESSIONS_MAX, LearningPlan, LearningPlanNotFound
from core.learning.ports import Assessments, LearningPlanReader, LearningPlans, OwnId, PracticeSessions
from core.learning.practice_session import Practice, PracticeSession
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.pool import autocommitting
from infrastructure.sql.driver.schema import metadata

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
    PrimaryKeyConstraint("customer_id", "id"),
    ForeignKeyConstraint(["customer_id", "learning_plan_id"], ["learning_plan.customer_id", "learning_plan.id"]),
    Index(
        "ix_practice_session_learning_plan",
        "customer_id",
        "learning_plan_id",
        postgresql_where=text("saved_at IS NOT NULL AND learning_plan_id IS NOT NULL"),
    ),
)

assessment: Final = Table(
    "assessment",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("score", Numeric),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("customer_id", "id"),
)

_FIND_PLANS: Final = text(
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

_FIND_SESSIONS: Final = text(
    """
    SELECT s.* FROM unnest(CAST(:customer_ids AS text[]), CAST(:ids AS text[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (SELECT * FROM practice_session AS s WHERE s.customer_id = wanted.customer_id AND s.id = wanted.id LIMIT 1) AS s
    """
)

_FIND_ASSESSMENTS: Final = text(
    """
    SELECT a.* FROM unnest(CAST(:customer_ids AS text[]), CAST(:ids AS text[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (SELECT * FROM assessment AS a WHERE a.customer_id = wanted.customer_id AND a.id = wanted.id LIMIT 1) AS a
    """
)

EVIDENCE: Final = """
    SELECT customer_id, 'practice_sessions' AS feature, 'learning' AS source, id AS reference, CAST(1 AS bigint) AS quantity,
        saved_at AS occurred_at, CAST(NULL AS text) AS dimension
    FROM practice_session WHERE saved_at IS NOT NULL
    UNION ALL
    SELECT customer_id, 'assessments', 'learning', id, 1, taken_at, NULL
    FROM assessment
"""
"""The usage that saved practice sessions and assessments themselves show, for reconciliation."""


class SqlLearningPlans(LearningPlans):
    """Within the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._added: list[LearningPlan] = []

    async def find(self, ids: Iterable[OwnId]) -> dict[OwnId, LearningPlan]:
        return {(row.customer_id, row.id): _to_plan(row) for row in await self._connection.execute(_FIND_PLANS, _named(ids))}

    def add(self, plan: LearningPlan) -> None:
        self._added.append(plan)

    async def flush(self) -> None:
        if self._added:
            await self._connection.execute(insert(learning_plan), [_from_plan(plan) for plan in self._added])


class SqlPracticeSessions(PracticeSessions):
    """Within the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._written: dict[OwnId, PracticeSession] = {}

    async def find(self, ids: Iterable[OwnId]) -> dict[OwnId, PracticeSession]:
        return {(row.customer_id, row.id): _to_session(row) for row in await self._connection.execute(_FIND_SESSIONS, _named(ids))}

    def save(self, session: PracticeSession) -> None:
        self._written[session.customer_id, session.id] = session

    async def flush(self) -> None:
        if self._written:
            statement = insert(practice_session)
            key = ("customer_id", "id")
            changing = {column.name: statement.excluded[column.name] for column in practice_session.c if column.name not in key}
            await self._connection.execute(
                statement.on_conflict_do_update(index_elements=key, set_=changing),
                [_from_session(session) for session in self._written.values()],
            )


class SqlAssessments(Assessments):
    """Within the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._added: list[Assessment] = []

    async def find(self, ids: Iterable[OwnId]) -> dict[OwnId, Assessment]:
        return {(row.customer_id, row.id): _to_assessment(row) for row in await self._connection.execute(_FIND_ASSESSMENTS, _named(ids))}

    def add(self, assessment: Assessment) -> None:
        self._added.append(assessment)

    async def flush(self) -> None:
        if self._added:
            await self._connection.execute(insert(assessment), [_from_assessment(item) for item in self._added])


class SqlLearningPlanReader(LearningPlanReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = autocommitting(engine)

    async def get(self, customer_id: str, id: str) -> LearningPlan:
        with storage_errors():
            async with self._engine.connect() as connection:
                found = await SqlLearningPlans(connection).find([(customer_id, id)])
        if not found:
            raise LearningPlanNotFound(id)
        return found[customer_id, id]


def _named(ids: Iterable[OwnId]) -> dict[str, Any]:
    wanted = list(dict.fromkeys(ids))
    return {"customer_ids": [customer_id for customer_id, _ in wanted], "ids": [id for _, id in wanted]}


def _from_plan(plan: LearningPlan) -> dict[str, Any]:
    return {
        "customer_id": plan.customer_id,
        "id": plan.id,
        "language": plan.language,
        "level": plan.level,
        "total_sessions": plan.total_sessions,
        "sessions_per_week": plan.sessions_per_week,
        "created_at": plan.created_at,
    }


def _to_plan(row: Row[Any]) -> LearningPlan:
    return LearningPlan(
        row.id,
        row.customer_id,
        row.language,
        row.level,
        row.total_sessions,
        row.sessions_per_week,
        row.created_at,
        row.practised_sessions,
    )


def _from_session(session: PracticeSession) -> dict[str, Any]:
    practice = session.practice
    return {
        "customer_id": session.customer_id,
        "id": session.id,
        "learning_plan_id": session.learning_plan_id,
        "started_at": session.started_at,
        "reservation_id": session.reservation_id,
        "duration_seconds": practice and practice.duration_seconds,
        "conversation_type": practice and practice.conversation_type,
        "summary": practice and practice.summary,
        "saved_at": session.saved_at,
        "over_limit": session.over_limit,
    }


def _to_session(row: Row[Any]) -> PracticeSession:
    return PracticeSession(
        row.id,
        row.customer_id,
        row.learning_plan_id,
        row.started_at,
        row.reservation_id,
        None if row.saved_at is None else Practice(row.duration_seconds, row.conversation_type, row.summary),
        row.saved_at,
        row.over_limit,
    )


def _from_assessment(item: Assessment) -> dict[str, Any]:
    return {
        "customer_id": item.customer_id,
        "id": item.id,
        "kind": item.kind,
        "score": item.score,
        "taken_at": item.taken_at,
    }


def _to_assessment(row: Row[Any]) -> Assessment:
    return Assessment(row.id, row.customer_id, row.kind, row.score, row.taken_at)
