"""What learning asks of the outside."""

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

from core.learning.assessment import Assessment
from core.learning.learning_plan import LearningPlan
from core.learning.practice_session import PracticeSession
from core.metering.ports import UnitOfWork
from core.metering.repository import Repository


class LearnerKey(NamedTuple):
    """Something of a customer's own, under an id that the caller may choose: two customers may use the same one."""

    customer_id: str
    id: str


class LearningPlans(Repository[LearnerKey, LearningPlan]):
    """Learning plans inside a unit of work.

    A plan's progress is counted from the practice sessions that were saved, and kept nowhere else: what is saved here of a known plan
    is its progress, for the commands that follow.
    """

    def key(self, value: LearningPlan) -> LearnerKey:
        return LearnerKey(value.customer_id, value.id)


class PracticeSessions(Repository[LearnerKey, PracticeSession]):
    """Practice sessions inside a unit of work. Whoever changes one has its customer's `practice_sessions` locked."""

    def key(self, value: PracticeSession) -> LearnerKey:
        return LearnerKey(value.customer_id, value.id)


class Assessments(Repository[LearnerKey, Assessment]):
    """Assessments inside a unit of work. Whoever saves one has its customer's `assessments` locked."""

    def key(self, value: Assessment) -> LearnerKey:
        return LearnerKey(value.customer_id, value.id)


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
    async def get(self, key: LearnerKey) -> LearningPlan:
        """With its progress as it stands. Raises LearningPlanNotFound."""
