"""The learning product's ports in memory, faithful to the SQL adapters, and a learner who practises through its use cases."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Self, TypeVar

from core.customers.customer import Customer
from core.learning.abandon_practice_session import AbandonedPractice, AbandonPracticeSession, AbandonPracticeSessionCommand
from core.learning.assessment import Assessment
from core.learning.create_learning_plan import CreateLearningPlan, CreateLearningPlanCommand
from core.learning.learning_plan import LearningPlan
from core.learning.ports import Assessments, LearnerKey, LearningPlans, PracticeSessions
from core.learning.practice_session import Practice, PracticeSession
from core.learning.save_practice_session import SavedPractice, SavePracticeSession, SavePracticeSessionCommand
from core.learning.start_practice_session import StartedPractice, StartPracticeSession, StartPracticeSessionCommand
from core.learning.take_assessment import TakeAssessment, TakeAssessmentCommand, TakenAssessment
from core.metering.idempotency import Replay
from core.metering.journal import Journal
from core.metering.meters import Meter
from core.metering.use_case import execute_one
from core.plans.plan import Metered, Plan
from tests.unit.fakes.examples import ACME, NOW, PERIOD
from tests.unit.fakes.metering import FakeStore, FakeUnitOfWork, InMemory

FLUENCY = Plan("fluency", 1, "Fluency", {"practice_sessions": Metered(3), "assessments": Metered(2)})
LENA = replace(ACME, id="lena", plan_key="fluency", plan_version=1)
TOM = replace(LENA, id="tom")
PRACTICE = Practice(540)

T = TypeVar("T")


class FakeLearningStore(FakeStore):
    def __init__(self, plans: Iterable[Plan] = (FLUENCY,), customers: Iterable[Customer] = (LENA, TOM)) -> None:
        super().__init__(plans, customers)
        self.learning_plans: dict[LearnerKey, LearningPlan] = {}
        self.practice_sessions: dict[LearnerKey, PracticeSession] = {}
        self.assessments: dict[LearnerKey, Assessment] = {}

    def unit_of_work(self) -> "FakeLearningUnitOfWork":
        return FakeLearningUnitOfWork(self)


class FakeLearningPlans(InMemory[LearnerKey, LearningPlan], LearningPlans):
    def __init__(self, journal: Journal, store: FakeLearningStore) -> None:
        super().__init__(journal, store.learning_plans)
        self._sessions = store.practice_sessions

    async def find(self, keys: Sequence[LearnerKey]) -> Iterable[LearningPlan]:
        return [replace(plan, practised_sessions=self._practised(self.key(plan))) for plan in await super().find(keys)]

    def _practised(self, key: LearnerKey) -> int:
        sessions = self._sessions.values()
        return sum((session.customer_id, session.learning_plan_id) == key and session.saved_at is not None for session in sessions)


class FakePracticeSessions(InMemory[LearnerKey, PracticeSession], PracticeSessions):
    """Practice sessions in memory."""


class FakeAssessments(InMemory[LearnerKey, Assessment], Assessments):
    """Assessments in memory."""


class FakeLearningUnitOfWork(FakeUnitOfWork):
    store: FakeLearningStore
    learning_plans: FakeLearningPlans
    practice_sessions: FakePracticeSessions
    assessments: FakeAssessments

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.learning_plans = self._add(FakeLearningPlans(self.journal, self.store))
        self.practice_sessions = self._add(FakePracticeSessions(self.journal, self.store.practice_sessions))
        self.assessments = self._add(FakeAssessments(self.journal, self.store.assessments))
        return self

    def check(self) -> None:
        assert not any(self.assessments.key(taken) in self.store.assessments for taken in self.assessments.saved()), "the primary key"
        plans = self.store.learning_plans.keys() | {self.learning_plans.key(plan) for plan in self.learning_plans.saved()}
        for session in self.practice_sessions.saved():
            plan_id = session.learning_plan_id
            assert plan_id is None or (session.customer_id, plan_id) in plans, "the foreign key"


class Learner:
    """A customer, by what it does at `now`."""

    def __init__(self, store: FakeLearningStore, customer: Customer = LENA, now: datetime = NOW) -> None:
        self.store = store
        self.customer = customer
        self.now = now
        parts = (store.unit_of_work, lambda: self.now)
        self.creating, self.starting = CreateLearningPlan(*parts), StartPracticeSession(*parts)
        self.saving, self.taking = SavePracticeSession(*parts), TakeAssessment(*parts)
        self.abandoning = AbandonPracticeSession(*parts)

    async def creates_plan(self, total_sessions: int = 8, sessions_per_week: int = 2) -> LearningPlan:
        command = CreateLearningPlanCommand(
            customer_id=self.customer.id, language="es", level="B1", total_sessions=total_sessions, sessions_per_week=sessions_per_week
        )
        return new(await execute_one(self.creating, command))

    async def starts(self, id: str | None = None, plan: LearningPlan | None = None) -> StartedPractice:
        return new(await execute_one(self.starting, StartPracticeSessionCommand(self.customer.id, id, plan and plan.id)))

    async def abandons(self, id: str) -> AbandonedPractice:
        return new(await execute_one(self.abandoning, AbandonPracticeSessionCommand(self.customer.id, id)))

    async def saves(self, id: str | None = None, plan: LearningPlan | None = None, practice: Practice = PRACTICE) -> SavedPractice:
        return new(await execute_one(self.saving, self.to_save(id, plan, practice)))

    async def takes(self, id: str | None = None, kind: str = "speaking", score: Decimal | None = None) -> TakenAssessment:
        return new(
            await execute_one(
                self.taking, TakeAssessmentCommand(customer_id=self.customer.id, kind=kind, score=score, recorded_by="app", id=id)
            )
        )

    def to_save(self, id: str | None = None, plan: LearningPlan | None = None, practice: Practice = PRACTICE) -> SavePracticeSessionCommand:
        return SavePracticeSessionCommand(
            customer_id=self.customer.id, practice=practice, recorded_by="app", id=id, learning_plan_id=plan and plan.id
        )

    def used(self, feature: str = "practice_sessions") -> int:
        """The ledger's sum in the period of the examples, with which the counter has to agree."""
        total = self.store.used_within(self.customer.id, feature, PERIOD)
        counter = self.store.counters.get(Meter(self.customer.id, feature))
        assert total == (counter.used if counter and counter.period == PERIOD else 0)
        return total

    def held(self) -> int:
        return self.store.held_at(self.customer.id, "practice_sessions", self.now)


def new(outcome: T | Replay) -> T:
    """A result that is no replay."""
    assert not isinstance(outcome, Replay)
    return outcome
