"""Create a coaching session, if the plan has one left."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from core.metering.account import Account
from core.metering.idempotency import Idempotency
from core.metering.ledger import Origin
from core.metering.use_case import AccountUseCase
from core.plans.features import MINUTES, SESSIONS
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
    idempotency: Idempotency | None = None


class CreateSession(AccountUseCase[CreateSessionCommand, Session, SessionsUnitOfWork, None]):
    """Create a coaching session and book one of the plan's sessions for it.

    - Refused where the plan has no session left in this billing period.
    - Refused where no minutes are left, since nothing could be transcribed.
    - The session and its usage are saved together, and stand when this is answered.
    """

    def features(self, command: CreateSessionCommand) -> Collection[str]:
        return SESSIONS.key, MINUTES.key

    async def read(self, commands: Sequence[CreateSessionCommand], uow: SessionsUnitOfWork) -> None:
        return None

    def decide(self, command: CreateSessionCommand, account: Account, facts: None, uow: SessionsUnitOfWork) -> Session:
        session = Session(
            account.new_id(), command.customer_id, command.title, command.language, command.stt_provider, created_at=account.now
        )
        account.consume(SESSIONS.key, 1, Origin("sessions", command.recorded_by, str(session.id)))
        account.require_remaining(MINUTES.key)
        uow.sessions.add(session)
        return session
