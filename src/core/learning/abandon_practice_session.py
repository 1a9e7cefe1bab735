"""Give a started practice session up."""

from dataclasses import dataclass

from core.learning.features import PRACTICE_SESSIONS
from core.learning.ports import LearnerKey, LearningUnitOfWork
from core.learning.practice_command import PracticeUseCase
from core.learning.practice_session import PracticeSession, PracticeSessionNotFound
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.reservations import ReservationState


@dataclass(frozen=True, slots=True)
class AbandonPracticeSessionCommand:
    """Names the session."""

    customer_id: str
    id: str

    @property
    def learning_plan_id(self) -> None:
        """None is named: it stays the one that the session was started for."""


@dataclass(frozen=True, slots=True)
class AbandonedPractice:
    """An abandoned session, and where practice sessions stand."""

    session: PracticeSession
    balance: Balance


class AbandonPracticeSession(PracticeUseCase[AbandonPracticeSessionCommand, AbandonedPractice]):
    """Give a started practice session up, and give back at once what is held for it.

    - Abandoning it again changes nothing. It can be started anew, and what was practised can be saved even then.
    - One that has been saved is counted, and so cannot be abandoned.
    """

    def decide(self, command: AbandonPracticeSessionCommand, account: Account, uow: LearningUnitOfWork) -> AbandonedPractice:
        session = uow.practice_sessions.get(LearnerKey(command.customer_id, command.id))
        if session is None:
            raise PracticeSessionNotFound(command.id)
        abandoned = session.abandoned(account.now)
        if abandoned is not session:
            hold = account.reservation(session.reservation_id)
            if hold and hold.state is ReservationState.HELD:
                account.settle(hold, hold.released(account.now))
            uow.practice_sessions.save(abandoned)
        return AbandonedPractice(abandoned, account.balance(PRACTICE_SESSIONS.key))
