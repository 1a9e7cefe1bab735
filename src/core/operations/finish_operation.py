"""Finish an operation: it is completed, or has failed."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.metering.account import Account
from core.metering.reservations import ReservationState
from core.operations.features import AI_COST
from core.operations.operation import OperationStatus
from core.operations.operation_command import OperationUseCase, operations_named
from core.operations.ports import OperationKey, OperationsUnitOfWork, WholeOperation


@dataclass(frozen=True, slots=True)
class FinishOperationCommand:
    """`status` is what becomes of the operation: completed or failed."""

    customer_id: str
    operation_id: str
    status: OperationStatus
    recorded_by: str


class FinishOperation(OperationUseCase[FinishOperationCommand, WholeOperation]):
    """Complete an operation, or say that it has failed, and give back what is still held for it.

    - The exact sum of its steps is rounded half-even, once: what its steps have not booked of that is booked now.
    - Its steps stay booked, however it ended: their work was done.
    - Finishing it again the same way changes nothing; the other way is refused.
    """

    async def load(self, commands: Sequence[FinishOperationCommand], uow: OperationsUnitOfWork) -> None:
        await super().load(commands, uow)
        await uow.steps.load_of(operations_named(commands))

    def decide(self, command: FinishOperationCommand, account: Account, uow: OperationsUnitOfWork) -> WholeOperation:
        key = OperationKey(command.customer_id, command.operation_id)
        operation = self.operation(key, uow)
        finished = operation.finished(command.status, account.now)
        if finished is not operation:
            if finished.closing_cost:
                last = uow.steps.last_of(key)
                account.record(
                    AI_COST.key, finished.closing_cost, finished.closing_origin(command.recorded_by), dimension=last.work.feature
                )
            hold = account.reservation(operation.hold_id)
            if hold is not None and hold.state is ReservationState.HELD:
                account.settle(hold, hold.released(account.now))
            uow.operations.save(finished)
        return WholeOperation(finished, uow.steps.first_of(key))
