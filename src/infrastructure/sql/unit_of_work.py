"""One transaction on PostgreSQL, with the repositories that take part in it."""

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from infrastructure.sql.accounts import SqlAccounts
from infrastructure.sql.conversations import SqlConversations
from infrastructure.sql.drift import SqlDriftReader
from infrastructure.sql.errors import CONNECTION_LOST, storage_errors
from infrastructure.sql.learning import SqlAssessments, SqlLearningPlans, SqlPracticeSessions
from infrastructure.sql.ledger import SqlLedger
from infrastructure.sql.operations import SqlOperations
from infrastructure.sql.plans import SqlPlans
from infrastructure.sql.replies import SqlReplies
from infrastructure.sql.reservations import SqlReservations
from infrastructure.sql.sessions import SqlSessions
from infrastructure.sql.statements import live_connection

BEGIN: Final = "BEGIN; SET LOCAL lock_timeout = '10s'"
"""In one message. Whoever waits longer for a lock is run again."""


class Written(Protocol):
    """A repository that collects changes and writes them all at once."""

    async def flush(self) -> None: ...


W = TypeVar("W", bound=Written)


class SqlUnitOfWork:
    """Serves every product's `UnitOfWork` port. What is not committed is rolled back."""

    def __init__(self, engine: AsyncEngine, plans: SqlPlans, new_id: Callable[[], UUID]) -> None:
        # SQLAlchemy leaves the transaction to us: its beginning and end are two of the few statements that every decision runs.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._plans = plans
        self._new_id = new_id

    async def __aenter__(self) -> Self:
        self._committed = False
        with storage_errors():
            self._connection, self._driver = await live_connection(self._engine)
            try:
                await self._driver.execute(BEGIN)
            except BaseException:
                await self._release()
                raise
        connection, driver = self._connection, self._driver
        self._written: list[Written] = []
        self.accounts = self._writes(SqlAccounts(connection, driver, self._plans, self._new_id))
        self.drift = SqlDriftReader(connection)
        self.ledger = SqlLedger(connection)
        self.replies = self._writes(SqlReplies(connection))
        self.reservations = SqlReservations(connection)
        self.sessions = self._writes(SqlSessions(connection))
        self.learning_plans = self._writes(SqlLearningPlans(connection))
        self.practice_sessions = self._writes(SqlPracticeSessions(connection))
        self.assessments = self._writes(SqlAssessments(connection))
        self.operations = self._writes(SqlOperations(connection))
        self.conversations = self._writes(SqlConversations(driver))
        return self

    async def commit(self) -> None:
        for repository in self._written:
            await repository.flush()
        with storage_errors(committing=True):
            await self._driver.execute("COMMIT")
        self._committed = True

    def _writes(self, repository: W) -> W:
        """Has the repository write what it collected when the unit of work commits, in the order of these calls."""
        self._written.append(repository)
        return repository

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self.accounts.abandon()
        finally:
            await self._release()
        if error is not None:
            with storage_errors():
                raise error

    async def _release(self) -> None:
        """Gives the connection back to the pool, out of its transaction; one that cannot be got out of it is thrown away."""
        with suppress(*CONNECTION_LOST):
            try:
                if not self._committed:
                    await self._driver.execute("ROLLBACK")
            except BaseException:
                await self._connection.invalidate()
                raise
            finally:
                await self._connection.close()
