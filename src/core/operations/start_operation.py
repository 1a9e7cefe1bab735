"""Start an AI operation, if the plan has left what it is expected to take."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from core.metering.account import Account
from core.operations.estimate import Estimate
from core.operations.operation import Operation
from core.operations.operation_command import OperationUseCase, operations_named
from core.operations.ports import OperationKey, OperationsUnitOfWork, WholeOperation

HELD_FOR: Final = timedelta(hours=1)
"""Longer than nearly every operation runs, and short enough that one that was never finished does not block the customer for long."""


@dataclass(frozen=True, slots=True)
class StartOperationCommand:
    """`operation_id` is the caller's name for the operation (None: it gets one); `estimated_cost` is in dollars."""

    customer_id: str
    feature: str
    estimated_cost: Decimal
    estimated_runs: int
    operation_id: str | None = None


class StartOperation(OperationUseCase[StartOperationCommand, WholeOperation]):
    """Start an operation and hold what it is estimated to take.

    - Refused where the estimate does not fit into what is neither used nor held by other operations, or no budget is left at all.
    - The hold ends with the operation, or after an hour; the operation may run longer, and its steps keep counting.
    - Starting again with the same id and content answers with the operation as it stands; with other content it is refused.
    """

    async def load(self, commands: Sequence[StartOperationCommand], uow: OperationsUnitOfWork) -> None:
        await super().load(commands, uow)
        await uow.steps.load_of(operations_named(commands))

    def decide(self, command: StartOperationCommand, account: Account, uow: OperationsUnitOfWork) -> WholeOperation:
        estimate = Estimate.of(command.estimated_cost, command.estimated_runs)
        key = OperationKey(command.customer_id, command.operation_id or str(account.new_id()))
        known = uow.operations.get(key) if command.operation_id is not None else None
        if known is not None:
            known.require_same(command.feature, estimate)
            return WholeOperation(known, uow.steps.first_of(key))
        estimate.require_affordable(account)
        usage = estimate.usage()
        hold = account.hold(usage, HELD_FOR, key.operation_id) if usage else None
        operation = Operation(
            customer_id=key.customer_id,
            id=key.operation_id,
            feature=command.feature,
            created_at=account.now,
            estimate=estimate,
            hold_id=hold.id if hold else None,
        )
        uow.operations.save(operation)
        return WholeOperation(operation, (), is_new=True)
