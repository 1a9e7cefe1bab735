"""An AI operation: started with an estimate, worked on in steps, and completed or failed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from core.errors import DomainError, NotFoundError
from core.metering.account import USED_PARTS_MAX
from core.metering.ledger import Origin
from core.operations.cost import half_even, reached
from core.operations.estimate import Estimate
from core.operations.features import AI_COST
from core.operations.step import SOURCE, Step
from core.plans.features import FRACTIONS, InvalidQuantity


class OperationNotFound(NotFoundError):
    """The customer has no operation with this id."""

    noun = "operation"


class OperationStatus(StrEnum):
    """Where an operation stands: running, and then completed or failed for good."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class InvalidOperationState(DomainError):
    """The operation is over, and this can no longer be done."""

    def __init__(self, id: str, status: OperationStatus, action: str) -> None:
        super().__init__(id, status, action)
        self.id, self.status = id, status
        self.message = f"An operation that is {status.value} cannot {action}."

    def facts(self) -> Mapping[str, object]:
        return {"operation_id": self.id, "status": self.status.value}


class OperationConflict(DomainError):
    """The customer has another operation with this id."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id
        self.message = f"Operation {id!r} exists already, with other content: use a new id for a new operation."

    def facts(self) -> Mapping[str, object]:
        return {"operation_id": self.id}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one customer, known by an id that the caller may choose; the totals are those of its steps.

    `estimate` is None for a standalone operation, which is done when we hear of it. `hold_id` names the reservation that holds the
    estimate, and is None where there is nothing to hold. `total_cost` is in whole nano-dollars, and `total_cost_fraction` is the rest
    below one, in fractions (`cost.py`); `closing_cost` is what finishing it booked of that rest.
    """

    customer_id: str
    id: str
    feature: str
    created_at: datetime
    estimate: Estimate | None = None
    hold_id: UUID | None = None
    status: OperationStatus = OperationStatus.RUNNING
    total_cost: int = 0
    total_runs: int = 0
    step_count: int = 0
    finished_at: datetime | None = None
    total_cost_fraction: int = 0
    closing_cost: int = 0

    @property
    def fractions(self) -> int:
        """The exact total cost."""
        return self.total_cost * FRACTIONS + self.total_cost_fraction

    @property
    def booked_cost(self) -> int:
        """Nano-dollars that are booked for it: while it runs those that the sum has reached, and in the end the sum, rounded once."""
        return reached(self.fractions) if self.status is OperationStatus.RUNNING else half_even(self.fractions)

    def require_same(self, feature: str, estimate: Estimate | None) -> None:
        """Raises OperationConflict where this operation was started as another one."""
        if (self.feature, self.estimate) != (feature, estimate):
            raise OperationConflict(self.id)

    def plus(self, step: Step) -> "Operation":
        """Raises InvalidOperationState where the operation is over, and InvalidQuantity where its cost grows too large."""
        if self.status is not OperationStatus.RUNNING:
            raise InvalidOperationState(self.id, self.status, "take a step")
        total_cost, total_cost_fraction = divmod(self.fractions + step.work.fractions, FRACTIONS)
        if total_cost > USED_PARTS_MAX:
            raise InvalidQuantity(AI_COST.key, "the operation's total would be too large")
        return replace(
            self,
            total_cost=total_cost,
            total_cost_fraction=total_cost_fraction,
            total_runs=self.total_runs + int(step.work.billable_run),
            step_count=step.position,
        )

    def completed_by(self, step: Step, now: datetime) -> "Operation":
        """A standalone operation, which its only step completes: there is nothing left to be booked afterwards."""
        return replace(self.plus(step), status=OperationStatus.COMPLETED, finished_at=now)

    def finished(self, status: OperationStatus, now: datetime) -> "Operation":
        """Completed or failed; again, it changes nothing. Raises InvalidOperationState where it ended the other way."""
        if self.status is status:
            return self
        if self.status is not OperationStatus.RUNNING:
            raise InvalidOperationState(self.id, self.status, f"become {status.value}")
        return replace(self, status=status, finished_at=now, closing_cost=half_even(self.fractions) - reached(self.fractions))

    def closing_origin(self, recorded_by: str) -> Origin:
        """Where the usage comes from that finishing books. The reference is that of no step."""
        return Origin(SOURCE, recorded_by, f"{self.id}#end")
