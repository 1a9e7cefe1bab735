"""What the commands on a practice session have in common: what is known of it is loaded under the lock of `practice_sessions`."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from core.learning.features import PRACTICE_SESSIONS
from core.learning.learning_plan import LearningPlan, LearningPlanNotFound
from core.learning.ports import LearnerKey, LearningUnitOfWork
from core.learning.practice_session import PracticeSession
from core.metering.account import Account
from core.metering.reservations import ReservationKey
from core.metering.use_case import AccountCommand, AccountUseCase


class PracticeCommand(AccountCommand, Protocol):
    """A command on one practice session; without an id it is about a new one."""

    @property
    def id(self) -> str | None: ...

    @property
    def learning_plan_id(self) -> str | None: ...


C = TypeVar("C", bound=PracticeCommand)
R = TypeVar("R")


class PracticeUseCase(AccountUseCase[C, R, LearningUnitOfWork]):
    """Decides commands on practice sessions."""

    features = (PRACTICE_SESSIONS.key,)

    async def load(self, commands: Sequence[C], uow: LearningUnitOfWork) -> None:
        named = [LearnerKey(command.customer_id, command.id) for command in commands if command.id is not None]
        await uow.practice_sessions.load(named)
        sessions = [session for key in named if (session := uow.practice_sessions.get(key))]
        plans = [(command.customer_id, command.learning_plan_id) for command in commands]
        plans += [(session.customer_id, session.learning_plan_id) for session in sessions]
        await uow.learning_plans.load(LearnerKey(customer_id, id) for customer_id, id in plans if id is not None)
        await uow.reservations.load(
            ReservationKey(session.customer_id, session.reservation_id) for session in sessions if session.reservation_id is not None
        )

    def session(self, customer_id: str, id: str | None, account: Account, uow: LearningUnitOfWork) -> PracticeSession:
        """As it is known, or one that was never heard of before."""
        known = None if id is None else uow.practice_sessions.get(LearnerKey(customer_id, id))
        return known or PracticeSession(id=id or str(account.new_id()), customer_id=customer_id)

    def plan(self, customer_id: str, id: str | None, uow: LearningUnitOfWork) -> LearningPlan | None:
        """The plan that is named, if one is. Raises LearningPlanNotFound also where it is another customer's."""
        if id is None:
            return None
        plan = uow.learning_plans.get(LearnerKey(customer_id, id))
        if plan is None:
            raise LearningPlanNotFound(id)
        return plan
