"""What AI operations ask of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from core.metering.ports import UnitOfWork
from core.operations.operation import Operation
from core.operations.step import Step


class OperationKey(NamedTuple):
    """An operation, by its customer and the id that is the customer's own."""

    customer_id: str
    operation_id: str


class StepKey(NamedTuple):
    """A step, by its operation and the id that it has there."""

    operation: OperationKey
    step_id: str


@dataclass(frozen=True, slots=True)
class WholeOperation:
    """An operation with all of its steps, in order. `is_new` where it has just been started."""

    operation: Operation
    steps: Sequence[Step]
    is_new: bool = False


class Operations(ABC):
    """AI operations inside a unit of work. Whoever changes one has its customer's `ai_runs` and `ai_cost` locked."""

    @abstractmethod
    async def find(self, keys: Iterable[OperationKey]) -> dict[OperationKey, Operation]:
        """The existing ones among these."""

    @abstractmethod
    async def find_steps(self, keys: Iterable[StepKey]) -> dict[StepKey, Step]:
        """The existing ones among these."""

    @abstractmethod
    async def steps_of(self, keys: Iterable[OperationKey]) -> Mapping[OperationKey, Sequence[Step]]:
        """All the steps of these operations, in order; an operation without any is absent."""

    @abstractmethod
    def save(self, operation: Operation) -> None:
        """A new operation, or a known one's next state, written by `UnitOfWork.commit`."""

    @abstractmethod
    def add_step(self, step: Step) -> None:
        """A new step, written by `UnitOfWork.commit`."""


class OperationsUnitOfWork(UnitOfWork, Protocol):
    """A transaction over accounts and AI operations."""

    @property
    def operations(self) -> Operations: ...


class OperationReader(ABC):
    """Reads outside of any transaction."""

    @abstractmethod
    async def get(self, key: OperationKey) -> WholeOperation:
        """The operation and its steps as of one moment. Raises OperationNotFound."""
