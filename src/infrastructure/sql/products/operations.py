"""AI operations and their steps in PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.operations.estimate import Estimate
from core.operations.operation import Operation, OperationNotFound, OperationStatus
from core.operations.ports import OperationKey, OperationReader, Operations, StepKey, WholeOperation
from core.operations.step import Step, Work
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.pool import autocommitting
from infrastructure.sql.driver.rows import arrays, insert
from infrastructure.sql.driver.schema import metadata

ai_operation: Final = Table(
    "ai_operation",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("estimated_cost", BigInteger),
    Column("estimated_runs", BigInteger),
    Column("hold_id", Uuid),
    Column("status", Text, nullable=False),
    Column("total_cost", BigInteger, nullable=False),
    Column("total_runs", BigInteger, nullable=False),
    Column("step_count", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("customer_id", "id"),
)

ai_operation_step: Final = Table(
    "ai_operation_step",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("operation_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("feature", Text, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("billable_run", Boolean, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("over_limit", Boolean, nullable=False),
    PrimaryKeyConstraint("customer_id", "operation_id", "id"),
    ForeignKeyConstraint(["customer_id", "operation_id"], ["ai_operation.customer_id", "ai_operation.id"]),
    Index("uq_ai_operation_step_position", "customer_id", "operation_id", "position", unique=True),
)

_FIND: Final = text(
    """
    SELECT o.* FROM unnest(CAST(:customer_ids AS text[]), CAST(:ids AS text[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (SELECT * FROM ai_operation AS o WHERE o.customer_id = wanted.customer_id AND o.id = wanted.id LIMIT 1) AS o
    """
)

_FIND_STEPS: Final = text(
    """
    SELECT s.*
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:operation_ids AS text[]), CAST(:ids AS text[]))
        AS wanted (customer_id, operation_id, id)
    CROSS JOIN LATERAL (
        SELECT * FROM ai_operation_step AS s
        WHERE s.customer_id = wanted.customer_id AND s.operation_id = wanted.operation_id AND s.id = wanted.id
        LIMIT 1
    ) AS s
    """
)

_STEPS_OF: Final = text(
    """
    SELECT s.* FROM unnest(CAST(:customer_ids AS text[]), CAST(:ids AS text[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (
        SELECT * FROM ai_operation_step AS s WHERE s.customer_id = wanted.customer_id AND s.operation_id = wanted.id
        OFFSET 0
    ) AS s
    ORDER BY s.customer_id, s.operation_id, s.position
    """
)

_WHOLE: Final = text(
    """
    SELECT o.*, s.id AS step_id, s.position, s.feature AS step_feature, s.cost, s.billable_run, s.occurred_at, s.over_limit
    FROM ai_operation AS o
    LEFT JOIN ai_operation_step AS s ON s.customer_id = o.customer_id AND s.operation_id = o.id
    WHERE o.customer_id = :customer_id AND o.id = :id
    ORDER BY s.position
    """
)
"""One statement, so that the totals are those of the steps, though steps are added meanwhile."""

_WRITE: Final = text(
    f"""
    {insert(ai_operation)}
    ON CONFLICT (customer_id, id) DO UPDATE
    SET status = excluded.status, total_cost = excluded.total_cost, total_runs = excluded.total_runs, step_count = excluded.step_count,
        finished_at = excluded.finished_at
    """
)

_ADD_STEPS: Final = text(insert(ai_operation_step))

EVIDENCE: Final = """
    SELECT customer_id, 'ai_runs' AS feature, 'operations' AS source, operation_id || '#' || CAST(position AS text) AS reference,
        CAST(1 AS bigint) AS quantity, occurred_at, feature AS dimension
    FROM ai_operation_step WHERE billable_run
    UNION ALL
    SELECT customer_id, 'ai_cost', 'operations', operation_id || '#' || CAST(position AS text), cost, occurred_at, feature
    FROM ai_operation_step WHERE cost > 0
"""
"""The usage that the steps themselves show, for reconciliation."""


class SqlOperations(Operations):
    """Within the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._written: dict[OperationKey, Operation] = {}
        self._steps: list[Step] = []

    async def find(self, keys: Iterable[OperationKey]) -> dict[OperationKey, Operation]:
        rows = await self._connection.execute(_FIND, _operations(keys))
        return {OperationKey(row.customer_id, row.id): _to_operation(row) for row in rows}

    async def find_steps(self, keys: Iterable[StepKey]) -> dict[StepKey, Step]:
        wanted = list(keys)
        parameters = {
            "customer_ids": [key.operation.customer_id for key in wanted],
            "operation_ids": [key.operation.operation_id for key in wanted],
            "ids": [key.step_id for key in wanted],
        }
        rows = await self._connection.execute(_FIND_STEPS, parameters)
        return {StepKey(OperationKey(row.customer_id, row.operation_id), row.id): _to_step(row) for row in rows}

    async def steps_of(self, keys: Iterable[OperationKey]) -> Mapping[OperationKey, Sequence[Step]]:
        found: dict[OperationKey, list[Step]] = {}
        for row in await self._connection.execute(_STEPS_OF, _operations(keys)):
            found.setdefault(OperationKey(row.customer_id, row.operation_id), []).append(_to_step(row))
        return found

    def save(self, operation: Operation) -> None:
        self._written[OperationKey(operation.customer_id, operation.id)] = operation

    def add_step(self, step: Step) -> None:
        self._steps.append(step)

    async def flush(self) -> None:
        if self._written:
            await self._connection.execute(_WRITE, arrays(ai_operation, map(_from_operation, self._written.values())))
        if self._steps:
            await self._connection.execute(_ADD_STEPS, arrays(ai_operation_step, map(_from_step, self._steps)))


class SqlOperationReader(OperationReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = autocommitting(engine)

    async def get(self, key: OperationKey) -> WholeOperation:
        with storage_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_WHOLE, {"customer_id": key.customer_id, "id": key.operation_id})).all()
        if not rows:
            raise OperationNotFound(key.operation_id)
        steps = [_step(row, key.operation_id, row.step_id, row.step_feature) for row in rows if row.step_id is not None]
        return WholeOperation(_to_operation(rows[0]), steps)


def _operations(keys: Iterable[OperationKey]) -> dict[str, Any]:
    wanted = list(keys)
    return {"customer_ids": [key.customer_id for key in wanted], "ids": [key.operation_id for key in wanted]}


def _from_operation(operation: Operation) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        operation.customer_id,
        operation.id,
        operation.feature,
        operation.estimate and operation.estimate.cost,
        operation.estimate and operation.estimate.runs,
        operation.hold_id,
        operation.status.value,
        operation.total_cost,
        operation.total_runs,
        operation.step_count,
        operation.created_at,
        operation.finished_at,
    )


def _from_step(step: Step) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        step.customer_id,
        step.operation_id,
        step.id,
        step.position,
        step.work.feature,
        step.work.cost,
        step.work.billable_run,
        step.occurred_at,
        step.over_limit,
    )


def _to_operation(row: Row[Any]) -> Operation:
    return Operation(
        row.customer_id,
        row.id,
        row.feature,
        row.created_at,
        None if row.estimated_cost is None else Estimate(row.estimated_cost, row.estimated_runs),
        row.hold_id,
        OperationStatus(row.status),
        row.total_cost,
        row.total_runs,
        row.step_count,
        row.finished_at,
    )


def _to_step(row: Row[Any]) -> Step:
    return _step(row, row.operation_id, row.id, row.feature)


def _step(row: Row[Any], operation_id: str, id: str, feature: str) -> Step:
    work = Work(feature, row.cost, row.billable_run)
    return Step(row.customer_id, operation_id, id, row.position, work, row.occurred_at, row.over_limit)
