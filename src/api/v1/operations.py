"""/api/v1/operations: AI operations, their steps, and what they cost."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from api.dependencies import ProductReader, ProductReporter, container_of
from api.docs import refusals
from api.frame.commands import carried_out
from api.frame.route import FrameRoute
from api.paging import page, read_number
from api.replies import Reply
from api.v1.bodies import RUNS_MAX, OwnId
from api.wire import (
    Answer,
    Cursor,
    ExactNumber,
    FinishedShortLabel,
    Id,
    Label,
    Limit,
    Number,
    Page,
    Wire,
    decimal_number,
    from_cursor,
    own_id,
    to_cursor,
)
from core.metering.reader import Position
from core.operations.add_step import AddedStep, AddStepCommand
from core.operations.cost import dollars
from core.operations.finish_operation import FinishOperationCommand
from core.operations.operation import Operation, OperationStatus
from core.operations.ports import STEPS_SHOWN_MAX, OperationKey, WholeOperation
from core.operations.start_operation import StartOperationCommand
from core.operations.step import Step

PRODUCT: Final = "operations"

router = APIRouter(prefix="/api/v1/operations", tags=["AI operations"], route_class=FrameRoute)

# The caller's ids may hold a slash.
OperationId = Annotated[Id, Path(description="the operation's id")]
FeatureName = Annotated[Label, Field(max_length=64, description="what usage is broken down by", examples=["business_card_scan"])]
Dollars = Annotated[ExactNumber, Field(description="in dollars; costs of steps are added up exactly", examples=[0.0015])]


class NewOperation(Wire):
    """What is about to be done, and what it is expected to take."""

    id: OwnId = None
    feature: FeatureName
    estimated_cost: Annotated[Dollars, Field(examples=[0.002])] = Decimal(0)
    estimated_runs: Annotated[int, Field(ge=0, le=RUNS_MAX, strict=True)] = 1


class NewStep(Wire):
    """Work that is done. It counts where it is a billable run or has a cost."""

    id: OwnId = None
    feature: Annotated[FinishedShortLabel, Field(description="what usage is broken down by", examples=["business_card_scan_ocr"])]
    cost: Dollars
    billable_run: Annotated[bool, Field(strict=True)]


class StepAnswer(Answer):
    """A step. `over_limit`: something of it was booked above a limit."""

    id: str
    feature: str
    cost: Number
    billable_run: bool
    occurred_at: datetime
    over_limit: bool

    @classmethod
    def of(cls, step: Step) -> "StepAnswer":
        return cls(
            id=step.id,
            feature=step.work.feature,
            cost=decimal_number(dollars(step.work.fractions)),
            billable_run=step.work.billable_run,
            occurred_at=step.occurred_at,
            over_limit=step.over_limit,
        )


class OperationHead(Answer):
    """An operation without its steps; the totals are theirs."""

    id: str
    feature: str
    status: OperationStatus
    total_cost: Number
    total_runs: int
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, operation: Operation) -> "OperationHead":
        return cls(
            id=operation.id,
            feature=operation.feature,
            status=operation.status,
            total_cost=decimal_number(dollars(operation.fractions)),
            total_runs=operation.total_runs,
            created_at=operation.created_at,
            finished_at=operation.finished_at,
        )


class OperationAnswer(OperationHead):
    """An operation with its first steps, in order."""

    steps: Annotated[list[StepAnswer], Field(max_length=STEPS_SHOWN_MAX)]
    next_cursor: str | None = Field(None, description="where there are more steps: pass it to …/steps as ?cursor=")

    @classmethod
    def whole(cls, operation: Operation, steps: Sequence[Step]) -> "OperationAnswer":
        following = to_cursor(*_place(steps[-1])) if 0 < len(steps) < operation.step_count else None
        return cls(**dict(OperationHead.of(operation)), steps=[StepAnswer.of(step) for step in steps], next_cursor=following)


def _place(step: Step) -> Position:
    return step.occurred_at, step.position


class AddedStepAnswer(OperationHead):
    """The operation as it stands with the step, and the step."""

    step: StepAnswer


def _started(whole: WholeOperation) -> Reply:
    answer = OperationAnswer.whole(whole.operation, whole.steps)
    return Reply.of(answer, 201, location=_location(answer.id)) if whole.is_new else Reply.of(answer)


def _added(added: AddedStep) -> Reply:
    answer = AddedStepAnswer(**dict(OperationHead.of(added.operation)), step=StepAnswer.of(added.step))
    return Reply.of(answer, 201 if added.is_new else 200)


def _standalone(added: AddedStep) -> Reply:
    return _started(WholeOperation(added.operation, [added.step], added.is_new))


def _finished(whole: WholeOperation) -> Reply:
    return Reply.of(OperationAnswer.whole(whole.operation, whole.steps))


def _location(id: str) -> str:
    return f"/api/v1/operations/{quote(id, safe='')}"


@router.post(
    "",
    status_code=201,
    response_model=OperationAnswer,
    responses={
        200: {"model": OperationAnswer, "description": "It was started before: this is its present state."},
        **refusals(
            "run_limit_exceeded",
            "budget_exceeded",
            "feature_not_in_plan",
            "operation_conflict",
            "invalid_quantity",
        ),
    },
)
@carried_out(by=lambda container: container.start_operation(), answered=_started)
def start_operation(body: NewOperation, caller: ProductReporter) -> StartOperationCommand:
    """Start an operation and hold what it is estimated to take, for an hour or until it is finished.

    Refused where the estimate does not fit, or no budget is left at all. The same id and content again answers 200 with the
    operation as it stands.
    """
    return StartOperationCommand(
        customer_id=caller.customer_id,
        feature=body.feature,
        estimated_cost=body.estimated_cost,
        estimated_runs=body.estimated_runs,
        operation_id=body.id,
    )


@router.post(
    "/standalone",
    status_code=201,
    response_model=OperationAnswer,
    responses={
        200: {"model": OperationAnswer, "description": "It was recorded before: this is what is stored."},
        **refusals("operation_conflict", "step_conflict", "invalid_quantity"),
    },
)
@carried_out(by=lambda container: container.add_step(), answered=_standalone)
def record_standalone(body: NewStep, caller: ProductReporter) -> AddStepCommand:
    """An operation of one step that is already done: it is booked, above the limit too, and complete."""
    return AddStepCommand(
        customer_id=caller.customer_id,
        operation_id=body.id,
        feature=body.feature,
        cost=body.cost,
        billable_run=body.billable_run,
        recorded_by=caller.name,
        standalone=True,
    )


@router.post(
    "/{id}/steps",
    status_code=201,
    response_model=AddedStepAnswer,
    responses={
        200: {"model": AddedStepAnswer, "description": "It was added before: this is what is stored."},
        **refusals(
            "operation_not_found",
            "invalid_operation_state",
            "step_conflict",
            "invalid_quantity",
        ),
    },
)
@carried_out(by=lambda container: container.add_step(), answered=_added)
def add_step(id: OperationId, body: NewStep, caller: ProductReporter) -> AddStepCommand:
    """Add a step, which is always booked: the step, the operation's totals and the usage change together.

    The same id and content again answers 200 with what is stored, also when the operation is finished.
    """
    return AddStepCommand(
        customer_id=caller.customer_id,
        operation_id=id,
        feature=body.feature,
        cost=body.cost,
        billable_run=body.billable_run,
        recorded_by=caller.name,
        step_id=body.id,
    )


_FINISHING = refusals("operation_not_found", "invalid_operation_state")


@router.post("/{id}/complete", response_model=OperationAnswer, responses=_FINISHING)
@carried_out(by=lambda container: container.finish_operation(), answered=_finished)
def complete_operation(id: OperationId, caller: ProductReporter) -> FinishOperationCommand:
    """The operation is done: what is left of its hold is given back. Completing again changes nothing."""
    return FinishOperationCommand(caller.customer_id, id, OperationStatus.COMPLETED, caller.name)


@router.post("/{id}/fail", response_model=OperationAnswer, responses=_FINISHING)
@carried_out(by=lambda container: container.finish_operation(), answered=_finished)
def fail_operation(id: OperationId, caller: ProductReporter) -> FinishOperationCommand:
    """The operation has failed: what is left of its hold is given back; its steps stay booked. Failing again changes nothing."""
    return FinishOperationCommand(caller.customer_id, id, OperationStatus.FAILED, caller.name)


@router.get("")
async def list_operations(
    request: Request,
    caller: ProductReader,
    status: Annotated[OperationStatus | None, Query(description="only those that stand like this")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[OperationHead]:
    """The customer's operations, without their steps, newest first."""
    reader, before = container_of(request).operation_reader(), from_cursor(cursor, own_id)
    if status is None:
        found = await reader.newest(caller.customer_id, limit + 1, before)
    else:
        found = await reader.newest_in(caller.customer_id, limit + 1, before, status=status)
    return page(found, limit, reader.position).each(OperationHead.of)


@router.get("/{id}", responses=refusals("operation_not_found"))
async def get_operation(request: Request, id: OperationId, caller: ProductReader) -> OperationAnswer:
    """An operation with its first steps, 200 at most; …/steps has the others. Another customer's answers 404."""
    container = container_of(request)
    whole = await container.operation_reader().whole(OperationKey(caller.customer_id, id))
    return OperationAnswer.whole(whole.operation, whole.steps)


@router.get("/{id}/steps", responses=refusals("operation_not_found"))
async def list_steps(
    request: Request, id: OperationId, caller: ProductReader, limit: Limit = 50, cursor: Cursor = None
) -> Page[StepAnswer]:
    """The operation's steps, in order."""
    place = from_cursor(cursor, read_number)
    key = OperationKey(caller.customer_id, id)
    found = await container_of(request).operation_reader().steps(key, limit + 1, place[1] if place else 0)
    return page(found, limit, _place).each(StepAnswer.of)
