"""Finish an operation: it is completed, or has failed."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.metering.account import Account
from core.metering.idempotency import Idempotency
from core.metering.reservations import ReservationState
from core.operations.operation import OperationStatus
from core.operations.operation_command import OperationUseCase, WholeFacts
from core.operations.ports import OperationKey, OperationsUnitOfWork, WholeOperation


@dataclass(frozen=True, slots=True)
class FinishOperationCommand:
    """`status` is what becomes of the operation: completed or failed."""

    customer_id: str
    operation_id: str
    status: OperationStatus
    idempotency: Idempotency | None = None


class FinishOperation(OperationUseCase[FinishOperationCommand, WholeOperation, WholeFacts]):
    """Complete an operation, or say that it has failed, and give back what is still held for it.

    - Its steps stay booked, however it ended: their work was done.
    - Finishing it again the same way changes nothing; the other way is refused.
    """

    async def read(self, commands: Sequence[FinishOperationCommand], uow: OperationsUnitOfWork) -> WholeFacts:
        return await self.whole(commands, uow)

    def decide(self, command: FinishOperationCommand, account: Account, facts: WholeFacts, uow: OperationsUnitOfWork) -> WholeOperation:
        key = OperationKey(command.customer_id, command.operation_id)
        operation = facts.known.operation(key)
        finished = operation.finished(command.status, account.now)
        if finished is not operation:
            hold = facts.known.hold(operation)
            if hold is not None and hold.state is ReservationState.HELD:
                account.settle(hold, hold.released(account.now))
            facts.known.operations[key] = finished
            uow.operations.save(finished)
        return facts.whole(finished)
