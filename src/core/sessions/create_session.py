"""Create a coaching session, if the plan has one left."""

from dataclasses import dataclass

from core.metering.account import Account
from core.metering.ledger import Origin
from core.metering.use_case import AccountUseCase
from core.sessions.features import MINUTES, SESSIONS
from core.sessions.ports import SessionsUnitOfWork
from core.sessions.session import Session, SttProvider


@dataclass(frozen=True, slots=True)
class CreateSessionCommand:
    """What the customer says of the session."""

    customer_id: str
    title: str
    language: str
    stt_provider: SttProvider
    recorded_by: str


class CreateSession(AccountUseCase[CreateSessionCommand, Session, SessionsUnitOfWork]):
    """Create a coaching session and book one of the plan's sessions for it.

    - Refused where the plan has no session left in this billing period.
    - Refused where no minutes are left, since nothing could be transcribed.
    - The session and its usage are saved together, and stand when this is answered.
    """

    features = SESSIONS.key, MINUTES.key

    def decide(self, command: CreateSessionCommand, account: Account, uow: SessionsUnitOfWork) -> Session:
        session = Session(
            id=account.new_id(),
            customer_id=command.customer_id,
            title=command.title,
            language=command.language,
            stt_provider=command.stt_provider,
            created_at=account.now,
        )
        account.consume(SESSIONS.key, 1, Origin("sessions", command.recorded_by, str(session.id)))
        account.require_remaining(MINUTES.key)
        uow.sessions.save(session)
        return session
