"""One transaction on PostgreSQL, with the repositories that take part in it."""

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

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
from infrastructure.sql.statements import Driver, driver_of


class SqlUnitOfWork:
    """Serves every product's `UnitOfWork` port. What is not committed is rolled back."""

    accounts: SqlAccounts
    assessments: SqlAssessments
    conversations: SqlConversations
    drift: SqlDriftReader
    learning_plans: SqlLearningPlans
    ledger: SqlLedger
    operations: SqlOperations
    practice_sessions: SqlPracticeSessions
    replies: SqlReplies
    reservations: SqlReservations
    sessions: SqlSessions
    _driver: Driver

    def __init__(self, engine: AsyncEngine, plans: SqlPlans, new_id: Callable[[], UUID]) -> None:
        # SQLAlchemy leaves the transaction to us: its beginning and end are two of the few statements that every decision runs.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._plans = plans
        self._new_id = new_id

    async def __aenter__(self) -> Self:
        self._committed = False
        with storage_errors():
            self._connection: AsyncConnection = await self._engine.connect()
            try:
                self._driver = await driver_of(self._connection)
                await self._driver.execute("BEGIN")
            except BaseException:
                await self._release()
                raise
        self.accounts = SqlAccounts(self._connection, self._driver, self._plans, self._new_id)
        self.drift = SqlDriftReader(self._connection)
        self.ledger = SqlLedger(self._connection)
        self.replies = SqlReplies(self._connection)
        self.reservations = SqlReservations(self._connection)
        self.sessions = SqlSessions(self._connection)
        self.operations = SqlOperations(self._connection)
        self.conversations = SqlConversations(self._driver)
        self.learning_plans = SqlLearningPlans(self._connection)
        self.practice_sessions = SqlPracticeSessions(self._connection)
        self.assessments = SqlAssessments(self._connection)
        return self

    async def commit(self) -> None:
        for repository in (
            self.accounts,
            self.replies,
            self.sessions,
            self.operations,
            self.conversations,
            self.learning_plans,
            self.practice_sessions,
            self.assessments,
        ):
            await repository.flush()
        with storage_errors(committing=True):
            await self._driver.execute("COMMIT")
        self._committed = True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
            except CONNECTION_LOST:
                await self._connection.invalidate()
            await self._connection.close()
