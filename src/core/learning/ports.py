"""What learning asks of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Protocol

from core.learning.assessment import Assessment
from core.learning.learning_plan import LearningPlan
from core.learning.practice_session import PracticeSession
from core.metering.ports import UnitOfWork

OwnId = tuple[str, str]
"""A customer's id, and the id of something of theirs: two customers may use the same one."""


class LearningPlans(ABC):
    """Learning plans inside a unit of work. Their progress is not kept: it is counted from the practice sessions that were saved."""

    @abstractmethod
    async def find(self, ids: Iterable[OwnId]) -> dict[OwnId, LearningPlan]:
        """The existing ones among these."""

    @abstractmethod
    def add(self, plan: LearningPlan) -> None:
        """A new plan, written by `UnitOfWork.commit`."""


class PracticeSessions(ABC):
    """Practice sessions inside a unit of work. Whoever changes one has its customer's `practice_sessions` locked."""

    @abstractmethod
    async def find(self, ids: Iterable[OwnId]) -> dict[OwnId, PracticeSession]:
        """The existing ones among these."""

    @abstractmethod
    def save(self, session: PracticeSession) -> None:
        """A new session, or a known one's next state, written by `UnitOfWork.commit`."""


class Assessments(ABC):
    """Assessments inside a unit of work. Whoever adds one has its customer's `assessments` locked."""

    @abstractmethod
    async def find(self, ids: Iterable[OwnId]) -> dict[OwnId, Assessment]:
        """The existing ones among these."""

    @abstractmethod
    def add(self, assessment: Assessment) -> None:
        """A new assessment, written by `UnitOfWork.commit`."""


class LearningUnitOfWork(UnitOfWork, Protocol):
    """A transaction over accounts, learning plans, practice sessions and assessments."""

    @property
    def learning_plans(self) -> LearningPlans: ...

    @property
    def practice_sessions(self) -> PracticeSessions: ...

    @property
    def assessments(self) -> Assessments: ...


class LearningPlanReader(ABC):
    """Reads outside of any transaction."""

    @abstractmethod
    async def get(self, customer_id: str, id: str) -> LearningPlan:
        """With its progress as it stands. Raises LearningPlanNotFound."""
