"""Add a step to an operation: work that is done, and booked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from core.metering.account import Account
from core.metering.idempotency import Idempotency
from core.operations.operation import Operation, OperationStatus
from core.operations.operation_command import OperationFacts, OperationUseCase
from core.operations.ports import OperationKey, OperationsUnitOfWork, StepKey
from core.operations.step import Step, Work
from core.plans.features import AI_COST


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
    idempotency: Idempotency | None = None

    def step_key(self) -> StepKey | None:
        """What the step would be known by if it had been added before; None where the caller did not name it."""
        step_id = self.operation_id if self.standalone else self.step_id
        if self.operation_id is None or step_id is None:
            return None
        return StepKey(OperationKey(self.customer_id, self.operation_id), step_id)


@dataclass(frozen=True, slots=True)
class AddedStep:
    """A step, and the operation as it stands with it. `is_new` is False where the step had been added before."""

    operation: Operation
    step: Step
    is_new: bool


@dataclass(frozen=True, slots=True)
class AddStepFacts:
    """The operations that commands name, and those of the named steps that have been added before."""

    known: OperationFacts
    steps: dict[StepKey, Step]


class AddStep(OperationUseCase[AddStepCommand, AddedStep, AddStepFacts]):
    """Add a step to a running operation, or a standalone one; the step, the operation's totals and the usage change together.

    - The work is done, so it is always booked, as overage if need be, and in the period in which it happens.
    - It uses up what is held for the operation first, and counts all the same where the hold has expired.
    - A step that is neither a billable run nor has a cost is recorded, and changes no usage.
    - The same step again, also of a finished operation, is answered with what is stored; other content under its id is refused.
    - A finished operation takes no new steps.
    """

    async def read(self, commands: Sequence[AddStepCommand], uow: OperationsUnitOfWork) -> AddStepFacts:
        known = await self.known(commands, uow)
        named = {key for command in commands if (key := command.step_key())}
        return AddStepFacts(known, await uow.operations.find_steps(named) if named else {})

    def decide(self, command: AddStepCommand, account: Account, facts: AddStepFacts, uow: OperationsUnitOfWork) -> AddedStep:
        work = Work(command.feature, AI_COST.parts_of_work(command.cost), command.billable_run)
        operation = self._operation(command, account, facts.known)
        key = command.step_key() or StepKey(OperationKey(operation.customer_id, operation.id), str(account.new_id()))
        known = facts.steps.get(key)
        if known is not None:
            known.require_same(work)
            return AddedStep(operation, known, is_new=False)
        step = Step(operation.customer_id, operation.id, key.step_id, operation.step_count + 1, work, account.now)
        operation = operation.plus(step)
        if command.standalone:
            operation = operation.finished(OperationStatus.COMPLETED, account.now)
        step = _booked(step, command.recorded_by, operation, account, facts.known)
        facts.known.operations[key.operation] = operation
        facts.steps[key] = step
        uow.operations.save(operation)
        uow.operations.add_step(step)
        return AddedStep(operation, step, is_new=True)

    def _operation(self, command: AddStepCommand, account: Account, known: OperationFacts) -> Operation:
        """The one that takes the step. Raises OperationNotFound, and OperationConflict where a standalone one's id is taken."""
        key = OperationKey(command.customer_id, command.operation_id or str(account.new_id()))
        if not command.standalone:
            return known.operation(key)
        if key not in known.operations:
            return Operation(*key, command.feature, account.now)
        known.operations[key].require_same(command.feature, estimate=None)
        return known.operations[key]


def _booked(step: Step, recorded_by: str, operation: Operation, account: Account, known: OperationFacts) -> Step:
    """Books the step's usage, what is held for the operation first, and marks the step where something of it is overage."""
    usage, origin = step.work.usage(), step.origin(recorded_by)
    records = [account.record(item.feature, item.quantity, origin, dimension=item.dimension) for item in usage]
    hold = known.hold(operation)
    if hold is not None and usage:
        known.holds[hold.id] = account.draw(hold, usage)
    return replace(step, over_limit=any(record.overage for record in records))
