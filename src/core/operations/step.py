"""A step of an operation: a piece of work that is done, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from core.errors import DomainError
from core.metering.balance import Usage
from core.metering.ledger import Origin
from core.operations.features import AI_COST, AI_RUNS
from core.plans.features import FRACTIONS

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
    """What was done: `feature` is what the customer's usage is broken down by.

    `cost` is in whole nano-dollars, and `cost_fraction` is the rest below one, in fractions (`cost.py`).
    """

    feature: str
    cost: int
    billable_run: bool
    cost_fraction: int = 0

    @classmethod
    def of(cls, feature: str, cost: Decimal, *, billable_run: bool) -> "Work":
        """As a caller wrote it, in dollars. Raises InvalidQuantity where that is no amount of at least 0."""
        whole, rest = divmod(AI_COST.fractions_of_work(cost), FRACTIONS)
        return cls(feature, whole, billable_run, rest)

    @property
    def fractions(self) -> int:
        """The exact cost."""
        return self.cost * FRACTIONS + self.cost_fraction


@dataclass(frozen=True, slots=True)
class Step:
    """Work as part of an operation: its `position`-th step, counted from 1, known by an id that the caller may choose.

    `carried_cost` is how many more nano-dollars the operation's sum reached with it than its cost has whole ones: what earlier steps had
    left over, and what its own rest adds.
    `over_limit` says whether something of it was booked above a limit.
    """

    customer_id: str
    operation_id: str
    id: str
    position: int
    work: Work
    occurred_at: datetime
    over_limit: bool = False
    carried_cost: int = 0

    def usage(self) -> Sequence[Usage]:
        """What is booked of it; nothing where it is neither a billable run nor takes the sum to a further nano-dollar."""
        work = self.work
        booked = [Usage(AI_RUNS.key, int(work.billable_run), work.feature), Usage(AI_COST.key, work.cost + self.carried_cost, work.feature)]
        return [usage for usage in booked if usage.quantity]

    def origin(self, recorded_by: str) -> Origin:
        """Where its usage comes from. The reference tells the customer's steps apart, whatever ids they were given."""
        return Origin(SOURCE, recorded_by, f"{self.operation_id}#{self.position}")

    def require_same(self, work: Work) -> None:
        """Raises StepConflict where this step was other work."""
        if self.work != work:
            raise StepConflict(self.operation_id, self.id)
