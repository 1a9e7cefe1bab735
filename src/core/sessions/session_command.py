"""What the commands on an existing session have in common: it is found under the lock of its customer's minutes."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from core.metering.account import Account
from core.metering.use_case import AccountCommand, AccountUseCase
from core.plans.features import MINUTES
from core.sessions.ports import SessionsUnitOfWork
from core.sessions.session import Session, SessionNotFound


class SessionCommand(AccountCommand, Protocol):
    """A command on one session."""

    @property
    def session_id(self) -> UUID: ...


C = TypeVar("C", bound=SessionCommand)


class ChangeSession(AccountUseCase[C, Session, SessionsUnitOfWork, dict[UUID, Session]]):
    """Moves a session to its next state. Raises SessionNotFound."""

    def features(self, command: C) -> Collection[str]:
        return (MINUTES.key,)

    async def read(self, commands: Sequence[C], uow: SessionsUnitOfWork) -> dict[UUID, Session]:
        return await uow.sessions.find((command.customer_id, command.session_id) for command in commands)

    def decide(self, command: C, account: Account, facts: dict[UUID, Session], uow: SessionsUnitOfWork) -> Session:
        session = found(command.customer_id, command.session_id, facts)
        changed = self.change(session, command, account)
        if changed is not session:
            facts[session.id] = changed
            uow.sessions.save(changed)
        return changed

    @abstractmethod
    def change(self, session: Session, command: C, account: Account) -> Session:
        """The session's next state; the very same object where nothing changes."""


def found(customer_id: str, session_id: UUID, sessions: Mapping[UUID, Session]) -> Session:
    """Raises SessionNotFound also where the session is another customer's."""
    session = sessions.get(session_id)
    if session is None or session.customer_id != customer_id:
        raise SessionNotFound(str(session_id))
    return session
