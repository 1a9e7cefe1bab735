"""Create a learning plan."""

from dataclasses import dataclass

from core.learning.learning_plan import LearningPlan
from core.learning.ports import LearningUnitOfWork
from core.metering.account import Account
from core.metering.use_case import AccountUseCase


@dataclass(frozen=True, slots=True)
class CreateLearningPlanCommand:
    """What the plan is for, and how much practice it asks for."""

    customer_id: str
    language: str
    level: str
    total_sessions: int
    sessions_per_week: int


class CreateLearningPlan(AccountUseCase[CreateLearningPlanCommand, LearningPlan, LearningUnitOfWork]):
    """Create a learning plan. It books nothing: the practice sessions do, when they are saved."""

    def decide(self, command: CreateLearningPlanCommand, account: Account, uow: LearningUnitOfWork) -> LearningPlan:
        plan = LearningPlan(
            id=str(account.new_id()),
            customer_id=command.customer_id,
            language=command.language,
            level=command.level,
            total_sessions=command.total_sessions,
            sessions_per_week=command.sessions_per_week,
            created_at=account.now,
        )
        uow.learning_plans.save(plan)
        return plan
