"""What the commands on a practice session have in common: what is known of it is read under the lock of `practice_sessions`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from core.learning.learning_plan import LearningPlan, LearningPlanNotFound
from core.learning.ports import LearningUnitOfWork, OwnId
from core.learning.practice_session import PracticeSession
from core.metering.reservations import Reservation
from core.metering.use_case import AccountCommand, AccountUseCase
from core.plans.features import PRACTICE_SESSIONS


class PracticeCommand(AccountCommand, Protocol):
    """A command on one practice session; without an id it is about a new one."""

    @property
    def id(self) -> str | None: ...

    @property
    def learning_plan_id(self) -> str | None: ...


C = TypeVar("C", bound=PracticeCommand)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PracticeFacts:
    """The practice sessions that commands name, their learning plans and their holds: kept up to date from command to command."""

    sessions: dict[OwnId, PracticeSession]
    plans: dict[OwnId, LearningPlan]
    holds: dict[UUID, Reservation]

    def session(self, customer_id: str, id: str) -> PracticeSession:
        """As it is known, or one that was never heard of before."""
        return self.sessions.get((customer_id, id)) or PracticeSession(id, customer_id)

    def plan(self, customer_id: str, id: str | None) -> LearningPlan | None:
        """The plan that is named, if one is. Raises LearningPlanNotFound also where it is another customer's."""
        if id is None:
            return None
        if (customer_id, id) not in self.plans:
            raise LearningPlanNotFound(id)
        return self.plans[customer_id, id]

    def hold(self, session: PracticeSession) -> Reservation | None:
        """What was set aside when the session was started."""
        return self.holds.get(session.reservation_id) if session.reservation_id else None


class PracticeUseCase(AccountUseCase[C, R, LearningUnitOfWork, PracticeFacts]):
    """Decides commands on practice sessions."""

    def features(self, command: C) -> Collection[str]:
        return (PRACTICE_SESSIONS.key,)

    async def read(self, commands: Sequence[C], uow: LearningUnitOfWork) -> PracticeFacts:
        named = [(command.customer_id, command.id) for command in commands if command.id is not None]
        sessions = await uow.practice_sessions.find(named) if named else {}
        plans = [(command.customer_id, command.learning_plan_id) for command in commands if command.learning_plan_id is not None]
        plans += [(session.customer_id, session.learning_plan_id) for session in sessions.values() if session.learning_plan_id is not None]
        holds = [(session.customer_id, session.reservation_id) for session in sessions.values() if session.reservation_id is not None]
        return PracticeFacts(
            sessions,
            await uow.learning_plans.find(plans) if plans else {},
            await uow.reservations.find(holds) if holds else {},
        )
