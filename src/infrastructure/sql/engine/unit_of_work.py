"""One transaction on PostgreSQL, with the repositories that take part in it."""

from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar
from uuid import UUID

from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.errors import CONNECTION_LOST, storage_errors
from infrastructure.sql.engine.accounts import SqlAccounts
from infrastructure.sql.engine.ledger import SqlLedger
from infrastructure.sql.engine.plans import SqlPlans
from infrastructure.sql.engine.replies import SqlReplies
from infrastructure.sql.engine.reservations import SqlReservations
from infrastructure.sql.products.conversations import SqlConversations
from infrastructure.sql.products.learning import SqlAssessments, SqlLearningPlans, SqlPracticeSessions
from infrastructure.sql.products.operations import SqlOperations
from infrastructure.sql.products.sessions import SqlSessions
from infrastructure.sql.upkeep.drift import SqlDriftReader

BEGIN: Final = "BEGIN; SET LOCAL lock_timeout = '10s'"
"""In one message. Whoever waits longer for a lock is run again."""


class Written(Protocol):
    """A repository that collects changes and writes them all at once."""

    async def flush(self) -> None: ...


W = TypeVar("W", bound=Written)


class SqlUnitOfWork:
    """Serves every product's `UnitOfWork` port. What is not committed is rolled back."""

    def __init__(self, connections: Connections, plans: SqlPlans, new_id: Callable[[], UUID]) -> None:
        self._connections = connections
        self._plans = plans
        self._new_id = new_id

    async def __aenter__(self) -> Self:
        self._committed = False
        with storage_errors():
            self._live, _ = await self._connections.take(lambda live: live.driver.execute(BEGIN))
        connection, driver = self._live
        self._written: list[Written] = []
        self.accounts = self._writes(SqlAccounts(connection, driver, self._plans, self._new_id))
        self.drift = SqlDriftReader(connection)
        self.ledger = SqlLedger(connection, driver)
        self.replies = self._writes(SqlReplies(driver))
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
            await self._live.driver.execute("COMMIT")
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
        """Gives the connection back, out of its transaction; one that cannot be got out of it is thrown away."""
        if not self._committed:
            try:
                await self._live.driver.execute("ROLLBACK")
            except CONNECTION_LOST:
                await self._connections.discard(self._live)
                return
            except BaseException:
                await self._connections.discard(self._live)
                raise
        await self._connections.give_back(self._live)
