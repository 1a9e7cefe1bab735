"""Give a session up."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core.metering.account import Account
from core.metering.ledger import Cause, Origin
from core.metering.meters import Meter
from core.sessions.features import MINUTES, SESSIONS
from core.sessions.ports import SessionsUnitOfWork
from core.sessions.session import Session
from core.sessions.session_command import SessionUseCase


@dataclass(frozen=True, slots=True)
class FailSessionCommand:
    """`reason` is for people to read. `give_back`: the customer is not to pay for the session."""

    customer_id: str
    session_id: UUID
    reason: str
    recorded_by: str
    give_back: bool = False

    @property
    def cause(self) -> Cause:
        """What creating the session was booked as."""
        return Cause(self.customer_id, SESSIONS.key, "sessions", str(self.session_id))


class FailSession(SessionUseCase[FailSessionCommand, Session]):
    """The session could not be transcribed: it is failed for good, and no minutes are booked.

    - The session itself stays counted, since it was created, unless it is to be given back. Then its usage record is corrected, with the
      reason, in the period in which the session was created.
    - It is given back once, however often that is asked for, and also where it failed before.
    """

    def features_of(self, command: FailSessionCommand) -> Collection[str]:
        return (MINUTES.key, SESSIONS.key) if command.give_back else (MINUTES.key,)

    async def load(self, commands: Sequence[FailSessionCommand], uow: SessionsUnitOfWork) -> None:
        await super().load(commands, uow)
        await uow.records.load_of(command.cause for command in commands if command.give_back)

    def dated(self, commands: Sequence[FailSessionCommand], uow: SessionsUnitOfWork) -> Iterable[tuple[Meter, datetime]]:
        causes = [command.cause for command in commands if command.give_back]
        return [(known.record.meter, known.record.occurred_at) for cause in causes for known in uow.records.of(cause)]

    def decide(self, command: FailSessionCommand, account: Account, uow: SessionsUnitOfWork) -> Session:
        session = self.session(command, uow)
        failed = session.failed(command.reason, account.now)
        if failed is not session:
            uow.sessions.save(failed)
        if command.give_back:
            origin = Origin("correction", command.recorded_by, str(session.id))
            for known in uow.records.of(command.cause):
                account.give_back(known, known.total, command.reason, origin)
        return failed
