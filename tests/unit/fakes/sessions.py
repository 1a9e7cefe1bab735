"""The sessions product's ports in memory, faithful to the SQL adapters."""

from collections.abc import Sequence
from typing import Self

from core.metering.reader import Position
from core.sessions.ports import SessionReader, Sessions
from core.sessions.session import Session, SessionKey, SessionNotFound
from tests.unit.fakes.metering import FakeStore, FakeUnitOfWork, InMemory


class SessionStore(FakeStore):
    """What is committed, sessions included."""

    sessions: dict[SessionKey, Session]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.sessions = {}

    def unit_of_work(self) -> "FakeSessionsUnitOfWork":
        return FakeSessionsUnitOfWork(self)

    def put(self, *sessions: Session) -> None:
        """Stores them as they are."""
        self.sessions |= {SessionKey(session.customer_id, session.id): session for session in sessions}


class FakeSessions(InMemory[SessionKey, Session], Sessions):
    """Sessions in memory."""


class FakeSessionsUnitOfWork(FakeUnitOfWork):
    store: SessionStore
    sessions: FakeSessions

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.sessions = self._add(FakeSessions(self.journal, self.store.sessions))
        return self


class FakeSessionReader(SessionReader):
    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def get(self, key: SessionKey) -> Session:
        if key not in self._store.sessions:
            raise SessionNotFound(str(key.id))
        return self._store.sessions[key]

    async def newest(self, customer_id: str, limit: int, before: Position | None) -> Sequence[Session]:
        mine = [session for session in self._store.sessions.values() if session.customer_id == customer_id]
        ordered = sorted(mine, key=lambda session: (session.created_at, session.id), reverse=True)
        return [session for session in ordered if before is None or (session.created_at, session.id) < before][:limit]
