"""What the commands on an operation have in common: what is known of it is loaded under the lock of its customer's runs and cost."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from core.metering.reservations import ReservationKey
from core.metering.use_case import AccountCommand, AccountUseCase
from core.operations.features import AI_COST, AI_RUNS
from core.operations.operation import Operation, OperationNotFound
from core.operations.ports import OperationKey, OperationsUnitOfWork


class OperationCommand(AccountCommand, Protocol):
    """A command on one operation; without an id it is about a new one."""

    @property
    def operation_id(self) -> str | None: ...


C = TypeVar("C", bound=OperationCommand)
R = TypeVar("R")


class OperationUseCase(AccountUseCase[C, R, OperationsUnitOfWork]):
    """Decides commands on operations. All of them lock the same two features, and so an operation needs no lock of its own."""

    features = AI_RUNS.key, AI_COST.key

    async def load(self, commands: Sequence[C], uow: OperationsUnitOfWork) -> None:
        named = operations_named(commands)
        await uow.operations.load(named)
        operations = [operation for key in named if (operation := uow.operations.get(key))]
        await uow.reservations.load(
            ReservationKey(operation.customer_id, operation.hold_id) for operation in operations if operation.hold_id is not None
        )

    def operation(self, key: OperationKey, uow: OperationsUnitOfWork) -> Operation:
        """Raises OperationNotFound also where the id is another customer's."""
        operation = uow.operations.get(key)
        if operation is None:
            raise OperationNotFound(key.operation_id)
        return operation


def operations_named(commands: Sequence[OperationCommand]) -> list[OperationKey]:
    """The operations that commands name, each once."""
    named = (OperationKey(command.customer_id, command.operation_id) for command in commands if command.operation_id is not None)
    return list(dict.fromkeys(named))
