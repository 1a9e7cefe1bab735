"""Start a practice session, if the plan has one left."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from core.learning.ports import LearningUnitOfWork
from core.learning.practice_command import PracticeFacts, PracticeUseCase
from core.learning.practice_session import PracticeSession
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.idempotency import Idempotency
from core.metering.reservations import Reservation, ReservationState
from core.plans.features import PRACTICE_SESSIONS

HELD_FOR: Final = timedelta(hours=3)
"""Longer than anybody practises in one go."""


@dataclass(frozen=True, slots=True)
class StartPracticeSessionCommand:
    """`id` is the caller's name for the session (None: it gets one), `learning_plan_id` the plan that it is part of, if any."""

    customer_id: str
    id: str | None = None
    learning_plan_id: str | None = None
    idempotency: Idempotency | None = None


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

    def decide(
        self, command: StartPracticeSessionCommand, account: Account, facts: PracticeFacts, uow: LearningUnitOfWork
    ) -> StartedPractice:
        session = facts.session(command.customer_id, command.id or str(account.new_id()))
        plan_id = session.plan_id(command.learning_plan_id)
        facts.plan(command.customer_id, plan_id)
        session.require_unsaved()
        hold = facts.hold(session)
        if hold and hold.state_at(account.now) is ReservationState.HELD:
            session.require_started_for(plan_id)
            return StartedPractice(session, hold, account.balance(PRACTICE_SESSIONS.key), is_new=False)
        hold = account.hold({PRACTICE_SESSIONS.key: 1}, HELD_FOR, session.id)
        started = session.started(plan_id, hold.id, account.now)
        facts.sessions[started.customer_id, started.id] = started
        facts.holds[hold.id] = hold
        uow.practice_sessions.save(started)
        return StartedPractice(started, hold, account.balance(PRACTICE_SESSIONS.key), is_new=True)
