"""What the commands on an existing session have in common: it is loaded under the lock of its customer's minutes."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from core.metering.account import Account
from core.metering.use_case import AccountCommand, AccountUseCase
from core.sessions.features import MINUTES
from core.sessions.ports import SessionsUnitOfWork
from core.sessions.session import Session, SessionKey, SessionNotFound


class SessionCommand(AccountCommand, Protocol):
    """A command on one session."""

    @property
    def session_id(self) -> UUID: ...


C = TypeVar("C", bound=SessionCommand)
R = TypeVar("R")


class SessionUseCase(AccountUseCase[C, R, SessionsUnitOfWork]):
    """Decides commands on existing sessions."""

    features = (MINUTES.key,)

    async def load(self, commands: Sequence[C], uow: SessionsUnitOfWork) -> None:
        await uow.sessions.load(map(_key, commands))

    def session(self, command: C, uow: SessionsUnitOfWork) -> Session:
        """The session that the command names. Raises SessionNotFound, also where it is another customer's."""
        session = uow.sessions.get(_key(command))
        if session is None:
            raise SessionNotFound(str(command.session_id))
        return session


class ChangeSession(SessionUseCase[C, Session]):
    """Moves a session to its next state. Raises SessionNotFound."""

    def decide(self, command: C, account: Account, uow: SessionsUnitOfWork) -> Session:
        session = self.session(command, uow)
        changed = self.change(session, command, account)
        if changed is not session:
            uow.sessions.save(changed)
        return changed

    @abstractmethod
    def change(self, session: Session, command: C, account: Account) -> Session:
        """The session's next state; the very same object where nothing changes."""


def _key(command: SessionCommand) -> SessionKey:
    return SessionKey(command.customer_id, command.session_id)
