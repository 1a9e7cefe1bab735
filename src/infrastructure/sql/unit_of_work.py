"""One transaction on PostgreSQL, with the repositories that take part in it."""

from collections.abc import Callable
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import StorageUnavailable
from infrastructure.sql.accounts import SqlAccounts
from infrastructure.sql.drift import SqlDriftReader
from infrastructure.sql.errors import storage_errors
from infrastructure.sql.ledger import SqlLedger
from infrastructure.sql.plans import SqlPlans
from infrastructure.sql.replies import SqlReplies
from infrastructure.sql.reservations import SqlReservations
from infrastructure.sql.sessions import SqlSessions


class SqlUnitOfWork:
    """Serves every product's `UnitOfWork` port. What is not committed is rolled back."""

    accounts: SqlAccounts
    drift: SqlDriftReader
    ledger: SqlLedger
    replies: SqlReplies
    reservations: SqlReservations
    sessions: SqlSessions

    def __init__(self, engine: AsyncEngine, plans: SqlPlans, new_id: Callable[[], UUID]) -> None:
        self._engine = engine
        self._plans = plans
        self._new_id = new_id

    async def __aenter__(self) -> Self:
        with storage_errors():
            self._connection: AsyncConnection = await self._engine.connect()
        self._committed = False
        self.accounts = SqlAccounts(self._connection, self._plans, self._new_id)
        self.drift = SqlDriftReader(self._connection)
        self.ledger = SqlLedger(self._connection)
        self.replies = SqlReplies(self._connection)
        self.reservations = SqlReservations(self._connection)
        self.sessions = SqlSessions(self._connection)
        return self

    async def commit(self) -> None:
        await self.accounts.flush()
        await self.replies.flush()
        await self.sessions.flush()
        with storage_errors(committing=True):
            await self._connection.commit()
        self._committed = True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            # Closing rolls back what was not committed, and gives the connection back to the pool.
            with storage_errors():
                await self._connection.close()
        except StorageUnavailable:
            if not self._committed and error is None:
                raise
        with storage_errors():
            if error is not None:
                raise error
