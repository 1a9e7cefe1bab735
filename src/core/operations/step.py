"""A step of an operation: a piece of work that is done, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.errors import DomainError
from core.metering.balance import Usage
from core.metering.ledger import Origin
from core.operations.features import AI_COST, AI_RUNS

SOURCE = "operations"


class StepConflict(DomainError):
    """The operation has another step with this id."""

    def __init__(self, operation_id: str, step_id: str) -> None:
        super().__init__(operation_id, step_id)
        self.operation_id, self.step_id = operation_id, step_id
        self.message = f"Operation {operation_id!r} has a step {step_id!r} already, with other content: use a new id for a new step."

    def facts(self) -> Mapping[str, object]:
        return {"operation_id": self.operation_id, "step_id": self.step_id}


@dataclass(frozen=True, slots=True)
class Work:
    """What was done: `feature` is what the customer's usage is broken down by, `cost` is in nano-dollars."""

    feature: str
    cost: int
    billable_run: bool

    def usage(self) -> Sequence[Usage]:
        """What it counts as; nothing where it is neither a billable run nor has a cost."""
        counted = [Usage(AI_RUNS.key, int(self.billable_run), self.feature), Usage(AI_COST.key, self.cost, self.feature)]
        return [usage for usage in counted if usage.quantity]


@dataclass(frozen=True, slots=True)
class Step:
    """Work as part of an operation: its `position`-th step, counted from 1, known by an id that the caller may choose.

    `over_limit` says whether something of it was booked above a limit.
    """

    customer_id: str
    operation_id: str
    id: str
    position: int
    work: Work
    occurred_at: datetime
    over_limit: bool = False

    def origin(self, recorded_by: str) -> Origin:
        """Where its usage comes from. The reference tells the customer's steps apart, whatever ids they were given."""
        return Origin(SOURCE, recorded_by, f"{self.operation_id}#{self.position}")

    def require_same(self, work: Work) -> None:
        """Raises StepConflict where this step was other work."""
        if self.work != work:
            raise StepConflict(self.operation_id, self.id)
