"""Save a finished practice session: the one path, whichever way it arrives."""

from dataclasses import dataclass

from core.learning.features import PRACTICE_SESSIONS
from core.learning.learning_plan import LearningPlan
from core.learning.ports import LearningUnitOfWork
from core.learning.practice_command import PracticeUseCase
from core.learning.practice_session import Practice, PracticeSession
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.ledger import Origin
from core.metering.reservations import ReservationState


@dataclass(frozen=True, slots=True)
class SavePracticeSessionCommand:
    """`id` is the caller's name for the session (None: it gets one), `learning_plan_id` the plan that it is part of, if any."""

    customer_id: str
    practice: Practice
    recorded_by: str
    id: str | None = None
    learning_plan_id: str | None = None


@dataclass(frozen=True, slots=True)
class SavedPractice:
    """A saved session, its learning plan, and where practice sessions stand. `is_new` is False where it had been saved before."""

    session: PracticeSession
    plan: LearningPlan | None
    balance: Balance
    is_new: bool


class SavePracticeSession(PracticeUseCase[SavePracticeSessionCommand, SavedPractice]):
    """Save a finished practice session, started before or not, and book one of the plan's sessions for it.

    - The practice is done, so it is always saved and booked: also above the limit, also after its hold has expired.
    - The session, its learning plan's progress and the usage change together. Practice beyond the plan's last session counts as usage.
    - Saving it again changes nothing and is answered with what is stored; other content under the same id is refused.
    - A learning plan that is named is the customer's own; where none is, it is the one that the session was started for.
    """

    def decide(self, command: SavePracticeSessionCommand, account: Account, uow: LearningUnitOfWork) -> SavedPractice:
        session = self.session(command.customer_id, command.id, account, uow)
        plan_id = session.plan_id(command.learning_plan_id)
        plan = self.plan(command.customer_id, plan_id, uow)
        if session.repeats_save(plan_id, command.practice):
            return SavedPractice(session=session, plan=plan, balance=account.balance(PRACTICE_SESSIONS.key), is_new=False)
        hold = account.reservation(session.reservation_id)
        if hold and hold.state is ReservationState.HELD:
            account.settle(hold, hold.committed({PRACTICE_SESSIONS.key: 1}, account.now))
        record = account.record(PRACTICE_SESSIONS.key, 1, Origin("learning", command.recorded_by, session.id))
        saved = session.saved(plan_id, command.practice, account.now, over_limit=record.overage > 0)
        uow.practice_sessions.save(saved)
        if plan is not None:
            plan = plan.practised()
            uow.learning_plans.save(plan)
        return SavedPractice(session=saved, plan=plan, balance=account.balance(PRACTICE_SESSIONS.key), is_new=True)
