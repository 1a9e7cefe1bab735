"""AI operations and their steps in PostgreSQL."""

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

from core.metering.reader import Position
from core.operations.estimate import Estimate
from core.operations.operation import Operation, OperationNotFound, OperationStatus
from core.operations.ports import STEPS_SHOWN_MAX, OperationKey, OperationReader, Operations, StepKey, Steps, WholeOperation
from core.operations.step import Step, Work
from infrastructure.sql.driver.reader import SqlReader, of_known
from infrastructure.sql.driver.repository import SqlRepository
from infrastructure.sql.driver.rows import Rows, all_but_key
from infrastructure.sql.driver.schema import digest, metadata
from infrastructure.sql.driver.statements import HotStatement
from infrastructure.sql.driver.stored import Stored

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
    Column("total_cost_fraction", BigInteger, nullable=False, server_default=text("0")),
    Column("closing_cost", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("customer_id", "id"),
    Index("ix_ai_operation_newest", "customer_id", "status", text("created_at DESC"), text("id DESC")),
    postgresql_with={"fillfactor": 80},
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
    Column("cost_fraction", BigInteger, nullable=False, server_default=text("0")),
    Column("carried_cost", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("customer_id", "operation_id", "position"),
    ForeignKeyConstraint(["customer_id", "operation_id"], ["ai_operation.customer_id", "ai_operation.id"]),
    Index("uq_ai_operation_step_id", "customer_id", text(digest("operation_id", "id")), unique=True),
)

_STEPS_OF: Final = HotStatement(
    f"""
    SELECT s.* FROM unnest(CAST(:customer_ids AS text[]), CAST(:ids AS text[])) AS wanted (customer_id, id)
    CROSS JOIN LATERAL (
        (SELECT * FROM ai_operation_step AS s WHERE s.customer_id = wanted.customer_id AND s.operation_id = wanted.id
         ORDER BY s.position LIMIT {STEPS_SHOWN_MAX})
        UNION
        (SELECT * FROM ai_operation_step AS s WHERE s.customer_id = wanted.customer_id AND s.operation_id = wanted.id
         ORDER BY s.position DESC LIMIT 1)
    ) AS s
    ORDER BY s.customer_id, s.operation_id, s.position
    """
)

_FIND_STEPS: Final = HotStatement(
    f"""
    SELECT s.* FROM unnest(CAST(:customer_ids AS text[]), CAST(:operation_ids AS text[]), CAST(:ids AS text[]))
        AS wanted (customer_id, operation_id, id)
    CROSS JOIN LATERAL (
        SELECT * FROM ai_operation_step AS s
        WHERE s.customer_id = wanted.customer_id AND {digest("s.operation_id", "s.id")} = {digest("wanted.operation_id", "wanted.id")}
        LIMIT 1
    ) AS s
    """
)

_WHOLE: Final = HotStatement(
    f"""
    SELECT o.*, s.id AS step_id, s.position, s.feature AS step_feature, s.cost, s.billable_run, s.occurred_at, s.over_limit,
        s.cost_fraction, s.carried_cost
    FROM ai_operation AS o
    LEFT JOIN LATERAL (
        SELECT * FROM ai_operation_step AS s WHERE s.customer_id = o.customer_id AND s.operation_id = o.id
        ORDER BY s.position LIMIT {STEPS_SHOWN_MAX}
    ) AS s ON true
    WHERE o.customer_id = :customer_id AND o.id = :id
    ORDER BY s.position
    """
)
"""One statement, so that the totals are those of the steps, though steps are added meanwhile."""

_STEPS_AFTER: Final = HotStatement(
    """
    SELECT s.* FROM ai_operation AS o
    LEFT JOIN LATERAL (
        SELECT * FROM ai_operation_step AS s
        WHERE s.customer_id = o.customer_id AND s.operation_id = o.id AND s.position > CAST(:after AS integer)
        ORDER BY s.position LIMIT CAST(:limit AS integer)
    ) AS s ON true
    WHERE o.customer_id = :customer_id AND o.id = :id
    ORDER BY s.position
    """
)

EVIDENCE: Final = """
    SELECT customer_id, 'ai_runs' AS feature, 'operations' AS source, operation_id || '#' || CAST(position AS text) AS reference,
        CAST(1 AS bigint) AS quantity, occurred_at, feature AS dimension
    FROM ai_operation_step WHERE billable_run
    UNION ALL
    SELECT customer_id, 'ai_cost', 'operations', operation_id || '#' || CAST(position AS text), cost + carried_cost, occurred_at, feature
    FROM ai_operation_step WHERE cost + carried_cost > 0
    UNION ALL
    SELECT o.customer_id, 'ai_cost', 'operations', o.id || '#end', o.closing_cost, o.finished_at, last.feature
    FROM ai_operation AS o
    JOIN ai_operation_step AS last ON last.customer_id = o.customer_id AND last.operation_id = o.id AND last.position = o.step_count
    WHERE o.closing_cost > 0
"""
"""The usage that the steps themselves show, and the end of an operation where it booked the rest of their sum, for reconciliation."""


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
        operation.total_cost_fraction,
        operation.closing_cost,
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
        step.work.cost_fraction,
        step.carried_cost,
    )


def _to_operation(row: Record) -> Operation:
    return Operation(
        customer_id=row["customer_id"],
        id=row["id"],
        feature=row["feature"],
        created_at=row["created_at"],
        estimate=None if row["estimated_cost"] is None else Estimate(row["estimated_cost"], row["estimated_runs"]),
        hold_id=row["hold_id"],
        status=OperationStatus(row["status"]),
        total_cost=row["total_cost"],
        total_runs=row["total_runs"],
        step_count=row["step_count"],
        finished_at=row["finished_at"],
        total_cost_fraction=row["total_cost_fraction"],
        closing_cost=row["closing_cost"],
    )


def _to_step(row: Record) -> Step:
    return _step(row, row["operation_id"], row["id"], row["feature"])


def _step(row: Record, operation_id: str, id: str, feature: str) -> Step:
    return Step(
        customer_id=row["customer_id"],
        operation_id=operation_id,
        id=id,
        position=row["position"],
        work=Work(feature, row["cost"], row["billable_run"], row["cost_fraction"]),
        occurred_at=row["occurred_at"],
        over_limit=row["over_limit"],
        carried_cost=row["carried_cost"],
    )


OPERATIONS: Final = Rows(ai_operation, _from_operation, _to_operation, changing=all_but_key(ai_operation))
STEPS: Final = Rows(ai_operation_step, _from_step, _to_step)


class SqlOperations(SqlRepository[OperationKey, Operation], Operations):
    """Within the transaction of a unit of work."""

    rows = OPERATIONS


class SqlSteps(SqlRepository[StepKey, Step], Steps):
    """Within the transaction of a unit of work."""

    rows = STEPS

    async def find(self, keys: Sequence[StepKey]) -> Iterable[Step]:
        parameters = {
            "customer_ids": [key.customer_id for key in keys],
            "operation_ids": [key.operation_id for key in keys],
            "ids": [key.step_id for key in keys],
        }
        return [_to_step(row) for row in await _FIND_STEPS.fetch(self._driver, parameters)]

    async def find_of(self, operations: Sequence[OperationKey]) -> Iterable[Step]:
        parameters = {"customer_ids": [key.customer_id for key in operations], "ids": [key.operation_id for key in operations]}
        return [_to_step(row) for row in await _STEPS_OF.fetch(self._driver, parameters)]


STORED: Final = Stored({"operations": SqlOperations, "steps": SqlSteps}, EVIDENCE, (ai_operation, ai_operation_step))


class SqlOperationReader(SqlReader[OperationKey, Operation], OperationReader):
    """Each method is one statement, and so a transaction of its own."""

    rows = OPERATIONS

    async def whole(self, key: OperationKey) -> WholeOperation:
        parameters = {"customer_id": key.customer_id, "id": key.operation_id}
        rows = await of_known(self._connections, key.customer_id, lambda driver: _WHOLE.fetch(driver, parameters))
        if not rows:
            raise OperationNotFound(key.operation_id)
        steps = [_step(row, key.operation_id, row["step_id"], row["step_feature"]) for row in rows if row["step_id"] is not None]
        return WholeOperation(_to_operation(rows[0]), steps)

    async def steps(self, key: OperationKey, limit: int, after: int) -> Sequence[Step]:
        parameters = {"customer_id": key.customer_id, "id": key.operation_id, "after": after, "limit": limit}
        rows = await of_known(self._connections, key.customer_id, lambda driver: _STEPS_AFTER.fetch(driver, parameters))
        if not rows:
            raise OperationNotFound(key.operation_id)
        return [_to_step(row) for row in rows if row["id"] is not None]

    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[Operation]:
        return await self._page_of("status", list(OperationStatus), customer_id, limit, before)

    async def newest_in(self, customer_id: str, limit: int, before: Position | None, *, status: OperationStatus) -> Sequence[Operation]:
        return await self._page_of("status", [status], customer_id, limit, before)
