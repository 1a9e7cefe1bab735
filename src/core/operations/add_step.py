"""Add a step to an operation: work that is done, and booked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from core.metering.account import Account
from core.operations.operation import Operation
from core.operations.operation_command import OperationUseCase
from core.operations.ports import OperationKey, OperationsUnitOfWork, StepKey
from core.operations.step import Step, Work


@dataclass(frozen=True, slots=True)
class AddStepCommand:
    """`cost` is in dollars. `step_id` is the caller's name for the step (None: it gets one).

    A `standalone` step is an operation of its own, begun and completed by it: the caller's `operation_id` names them both.
    """

    customer_id: str
    operation_id: str | None
    feature: str
    cost: Decimal
    billable_run: bool
    recorded_by: str
    step_id: str | None = None
    standalone: bool = False

    def step_key(self) -> StepKey | None:
        """What the step would be known by if it had been added before; None where the caller did not name it."""
        step_id = self.operation_id if self.standalone else self.step_id
        if self.operation_id is None or step_id is None:
            return None
        return StepKey(self.customer_id, self.operation_id, step_id)


@dataclass(frozen=True, slots=True)
class AddedStep:
    """A step, and the operation as it stands with it. `is_new` is False where the step had been added before."""

    operation: Operation
    step: Step
    is_new: bool


class AddStep(OperationUseCase[AddStepCommand, AddedStep]):
    """Add a step to a running operation, or a standalone one; the step, the operation's totals and the usage change together.

    - The work is done, so it is always booked, as overage if need be, and in the period in which it happens.
    - Costs are added up exactly over the operation. A step books the smallest parts that the sum reaches with it, so that many steps
      of less than a smallest part count; a standalone operation is rounded once.
    - It uses up what is held for the operation first, and counts all the same where the hold has expired.
    - A step that is neither a billable run nor takes the sum any further is recorded, and changes no usage.
    - The same step again, also of a finished operation, is answered with what is stored; other content under its id is refused.
    - A finished operation takes no new steps.
    """

    async def load(self, commands: Sequence[AddStepCommand], uow: OperationsUnitOfWork) -> None:
        await super().load(commands, uow)
        await uow.steps.load(key for command in commands if (key := command.step_key()))

    def decide(self, command: AddStepCommand, account: Account, uow: OperationsUnitOfWork) -> AddedStep:
        work = Work.of(command.feature, command.cost, billable_run=command.billable_run)
        operation = self._operation(command, account, uow)
        named = command.step_key()
        known = uow.steps.get(named) if named else None
        if known is not None:
            known.require_same(work)
            return AddedStep(operation, known, is_new=False)
        step = Step(
            customer_id=operation.customer_id,
            operation_id=operation.id,
            id=named.step_id if named else str(account.new_id()),
            position=operation.step_count + 1,
            work=work,
            occurred_at=account.now,
        )
        after = operation.completed_by(step, account.now) if command.standalone else operation.plus(step)
        step = replace(step, carried_cost=after.booked_cost - operation.booked_cost - work.cost)
        step = _booked(step, command.recorded_by, after, account)
        uow.operations.save(after)
        uow.steps.save(step)
        return AddedStep(after, step, is_new=True)

    def _operation(self, command: AddStepCommand, account: Account, uow: OperationsUnitOfWork) -> Operation:
        """The one that takes the step. Raises OperationNotFound, and OperationConflict where a standalone one's id is taken."""
        if command.operation_id is not None:
            key = OperationKey(command.customer_id, command.operation_id)
            if not command.standalone:
                return self.operation(key, uow)
            if known := uow.operations.get(key):
                known.require_same(command.feature, estimate=None)
                return known
        return Operation(
            customer_id=command.customer_id,
            id=command.operation_id or str(account.new_id()),
            feature=command.feature,
            created_at=account.now,
        )


def _booked(step: Step, recorded_by: str, operation: Operation, account: Account) -> Step:
    """Books the step's usage, what is held for the operation first, and marks the step where something of it is overage."""
    usage, origin = step.usage(), step.origin(recorded_by)
    records = [account.record(item.feature, item.quantity, origin, dimension=item.dimension) for item in usage]
    hold = account.reservation(operation.hold_id)
    if hold is not None and usage:
        account.draw(hold, usage)
    return replace(step, over_limit=any(record.overage for record in records))
