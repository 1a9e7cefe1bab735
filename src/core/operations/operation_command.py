"""What the commands on an operation have in common: what is known of it is read under the lock of its customer's runs and cost."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from core.metering.reservations import Reservation
from core.metering.use_case import AccountCommand, AccountUseCase
from core.operations.operation import Operation, OperationNotFound
from core.operations.ports import OperationKey, OperationsUnitOfWork, WholeOperation
from core.operations.step import Step
from core.plans.features import AI_COST, AI_RUNS


class OperationCommand(AccountCommand, Protocol):
    """A command on one operation; without an id it is about a new one."""

    @property
    def operation_id(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class OperationFacts:
    """The operations that commands name, and what is held for them: kept up to date from command to command."""

    operations: dict[OperationKey, Operation]
    holds: dict[UUID, Reservation]

    def operation(self, key: OperationKey) -> Operation:
        """Raises OperationNotFound also where the id is another customer's."""
        if key not in self.operations:
            raise OperationNotFound(key.operation_id)
        return self.operations[key]

    def hold(self, operation: Operation) -> Reservation | None:
        """What was set aside when the operation was started."""
        return self.holds.get(operation.hold_id) if operation.hold_id else None


@dataclass(frozen=True, slots=True)
class WholeFacts:
    """The operations that commands name, with all of their steps."""

    known: OperationFacts
    steps: Mapping[OperationKey, Sequence[Step]]

    def whole(self, operation: Operation) -> WholeOperation:
        """The operation's present state, with its steps."""
        return WholeOperation(operation, self.steps.get(OperationKey(operation.customer_id, operation.id), ()))


C = TypeVar("C", bound=OperationCommand)
R = TypeVar("R")
F = TypeVar("F")


class OperationUseCase(AccountUseCase[C, R, OperationsUnitOfWork, F]):
    """Decides commands on operations. All of them lock the same two features, and so an operation needs no lock of its own."""

    def features(self, command: C) -> Collection[str]:
        return AI_RUNS.key, AI_COST.key

    async def known(self, commands: Sequence[C], uow: OperationsUnitOfWork) -> OperationFacts:
        """What is known of the operations that the commands name."""
        named = {OperationKey(command.customer_id, command.operation_id) for command in commands if command.operation_id is not None}
        operations = await uow.operations.find(named) if named else {}
        holds = [(operation.customer_id, operation.hold_id) for operation in operations.values() if operation.hold_id is not None]
        return OperationFacts(operations, await uow.reservations.find(holds) if holds else {})

    async def whole(self, commands: Sequence[C], uow: OperationsUnitOfWork) -> WholeFacts:
        """The same, with all of their steps."""
        known = await self.known(commands, uow)
        return WholeFacts(known, await uow.operations.steps_of(known.operations) if known.operations else {})
