"""Create a learning plan."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from core.learning.learning_plan import LearningPlan
from core.learning.ports import LearningUnitOfWork
from core.metering.account import Account
from core.metering.idempotency import Idempotency
from core.metering.use_case import AccountUseCase


@dataclass(frozen=True, slots=True)
class CreateLearningPlanCommand:
    """What the plan is for, and how much practice it asks for."""

    customer_id: str
    language: str
    level: str
    total_sessions: int
    sessions_per_week: int
    idempotency: Idempotency | None = None


class CreateLearningPlan(AccountUseCase[CreateLearningPlanCommand, LearningPlan, LearningUnitOfWork, None]):
    """Create a learning plan. It books nothing: the practice sessions do, when they are saved."""

    def features(self, command: CreateLearningPlanCommand) -> Collection[str]:
        return ()

    async def read(self, commands: Sequence[CreateLearningPlanCommand], uow: LearningUnitOfWork) -> None:
        return None

    def decide(self, command: CreateLearningPlanCommand, account: Account, facts: None, uow: LearningUnitOfWork) -> LearningPlan:
        plan = LearningPlan(
            str(account.new_id()),
            command.customer_id,
            command.language,
            command.level,
            command.total_sessions,
            command.sessions_per_week,
            created_at=account.now,
        )
        uow.learning_plans.add(plan)
        return plan
