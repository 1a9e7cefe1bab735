"""Start a practice session, if the plan has one left."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from core.learning.features import PRACTICE_SESSIONS
from core.learning.ports import LearningUnitOfWork
from core.learning.practice_command import PracticeUseCase
from core.learning.practice_session import PracticeSession
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.reservations import Reservation, ReservationState

HELD_FOR: Final = timedelta(hours=3)
"""Longer than anybody practises in one go."""


@dataclass(frozen=True, slots=True)
class StartPracticeSessionCommand:
    """`id` is the caller's name for the session (None: it gets one), `learning_plan_id` the plan that it is part of, if any."""

    customer_id: str
    id: str | None = None
    learning_plan_id: str | None = None


@dataclass(frozen=True, slots=True)
class StartedPractice:
    """A started session, what is held for it, and where practice sessions stand. `is_new` is False where it had been started before."""

    session: PracticeSession
    hold: Reservation
    balance: Balance
    is_new: bool


class StartPracticeSession(PracticeUseCase[StartPracticeSessionCommand, StartedPractice]):
    """Start a practice session and hold one of the plan's sessions for it.

    - Refused where none is left in this billing period; what is held counts.
    - Starting again while it is held changes nothing.
    - A session that is not saved within three hours gives the held one back; it can be started anew, and it can still be saved.
    - A learning plan that is named is the customer's own.
    """

    def decide(self, command: StartPracticeSessionCommand, account: Account, uow: LearningUnitOfWork) -> StartedPractice:
        session = self.session(command.customer_id, command.id, account, uow)
        plan_id = session.plan_id(command.learning_plan_id)
        self.plan(command.customer_id, plan_id, uow)
        session.require_unsaved()
        hold = account.reservation(session.reservation_id)
        if hold and hold.state_at(account.now) is ReservationState.HELD:
            session.require_started_for(plan_id)
            return StartedPractice(session=session, hold=hold, balance=account.balance(PRACTICE_SESSIONS.key), is_new=False)
        hold = account.hold({PRACTICE_SESSIONS.key: 1}, HELD_FOR, session.id)
        started = session.started(plan_id, hold.id, account.now)
        uow.practice_sessions.save(started)
        return StartedPractice(session=started, hold=hold, balance=account.balance(PRACTICE_SESSIONS.key), is_new=True)
