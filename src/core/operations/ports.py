"""What AI operations ask of the outside."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple, Protocol

from core.metering.journal import Journal
from core.metering.ports import UnitOfWork
from core.metering.reader import Position, Reader
from core.metering.repository import Repository
from core.operations.operation import Operation, OperationNotFound, OperationStatus
from core.operations.step import Step


class OperationKey(NamedTuple):
    """An operation, by its customer and the id that is the customer's own."""

    customer_id: str
    operation_id: str


class StepKey(NamedTuple):
    """A step, by its operation and the id that it has there."""

    customer_id: str
    operation_id: str
    step_id: str

    @property
    def operation(self) -> OperationKey:
        return OperationKey(self.customer_id, self.operation_id)


STEPS_SHOWN_MAX: Final = 200
"""Of an operation's steps with it. Its totals are kept, and what follows is read a page at a time."""


@dataclass(frozen=True, slots=True)
class WholeOperation:
    """An operation with its first steps, in order: STEPS_SHOWN_MAX at most. `is_new` where it has just been started."""

    operation: Operation
    steps: Sequence[Step]
    is_new: bool = False


class Operations(Repository[OperationKey, Operation]):
    """AI operations inside a unit of work. Whoever changes one has its customer's `ai_runs` and `ai_cost` locked."""

    def key(self, value: Operation) -> OperationKey:
        return OperationKey(value.customer_id, value.id)


class Steps(Repository[StepKey, Step]):
    """Steps of AI operations inside a unit of work; found one by one, or the first and the last of an operation."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._of: dict[OperationKey, dict[str, Step]] = {}

    def key(self, value: Step) -> StepKey:
        return StepKey(value.customer_id, value.operation_id, value.id)

    @abstractmethod
    async def find_of(self, operations: Sequence[OperationKey]) -> Iterable[Step]:
        """The first STEPS_SHOWN_MAX steps of each of these operations, and its last one, in order."""

    async def load_of(self, operations: Iterable[OperationKey]) -> None:
        """Reads the steps of these operations that are shown, so that `first_of` and `last_of` can answer."""
        unknown = [key for key in dict.fromkeys(operations) if key not in self._of]
        if unknown:
            self._of.update((key, {}) for key in unknown)
            for step in (*await self.find_of(unknown), *self.saved()):
                self._of.get(self.key(step).operation, {})[step.id] = step

    def first_of(self, operation: OperationKey) -> Sequence[Step]:
        """The operation's steps, in order, STEPS_SHOWN_MAX at most. They have to be loaded before."""
        return tuple(islice(self._of[operation].values(), STEPS_SHOWN_MAX))

    def last_of(self, operation: OperationKey) -> Step:
        """The one that was added last to an operation that has any. It has to be loaded before."""
        return next(reversed(self._of[operation].values()))

    def save(self, value: Step) -> None:
        super().save(value)
        steps = self._of.get(self.key(value).operation)
        if steps is not None:
            self._journal.put(steps, value.id, value)


class OperationsUnitOfWork(UnitOfWork, Protocol):
    """A transaction over accounts and AI operations."""

    @property
    def operations(self) -> Operations: ...

    @property
    def steps(self) -> Steps: ...


class OperationReader(Reader[OperationKey, Operation]):
    """Operations as they stand, newest first by their start."""

    missing = OperationNotFound
    newest_by = "created_at"

    @abstractmethod
    async def whole(self, key: OperationKey) -> WholeOperation:
        """The operation and its first steps as of one moment. Raises OperationNotFound."""

    @abstractmethod
    async def steps(self, key: OperationKey, limit: int, after: int) -> Sequence[Step]:
        """The steps behind this position, in order. Raises OperationNotFound."""

    @abstractmethod
    async def newest_in(self, customer_id: str, limit: int, before: Position | None, *, status: OperationStatus) -> Sequence[Operation]:
        """As `newest`, those with this status."""
