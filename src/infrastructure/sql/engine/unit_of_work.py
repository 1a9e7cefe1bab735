"""One transaction on PostgreSQL, with the repositories that take part in it."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import UUID

from core.errors import StorageUnavailable
from core.metering.journal import Journal
from core.metering.owned import Owned, OwnedRepository
from infrastructure.sql.driver.connections import PROMPT_SECONDS_MAX, Connections
from infrastructure.sql.driver.errors import CONNECTION_LOST, storage_errors
from infrastructure.sql.driver.rows import Change, write
from infrastructure.sql.driver.statements import Driver
from infrastructure.sql.driver.stored import Written
from infrastructure.sql.engine.accounts import SqlAccounts
from infrastructure.sql.engine.grants import SqlGrants
from infrastructure.sql.engine.ledger import SqlRecords
from infrastructure.sql.engine.plans import PlanCatalog, SqlPlans
from infrastructure.sql.engine.reservations import SqlReservations

OwnedT = TypeVar("OwnedT", bound=Owned)

BEGIN: Final = "BEGIN; SET LOCAL lock_timeout = '10s'"
"""In one message. Whoever waits longer for a lock is run again."""


class SqlUnitOfWork:
    """Serves every product's `UnitOfWork` port. What is not committed is rolled back.

    Its repositories are the attributes that `repositories` names, and those of the kinds in it, each made when it is first asked for.
    """

    def __init__(
        self,
        connections: Connections,
        catalog: PlanCatalog,
        new_id: Callable[[], UUID],
        repositories: Mapping[str | type[Any], Callable[[Journal, Driver], Written]],
    ) -> None:
        self._connections = connections
        self._catalog = catalog
        self._new_id = new_id
        self._makers = repositories

    async def __aenter__(self) -> Self:
        self._committing = self._committed = False
        self._live, _ = await self._connections.take(lambda live: live.driver.execute(BEGIN, timeout=PROMPT_SECONDS_MAX), prompt=True)
        self.journal = Journal()
        self._repositories: dict[str | type[Any], Any] = {}
        self.reservations: SqlReservations = self._made("reservations")
        self.records: SqlRecords = self._made("records")
        self.grants: SqlGrants = self._made("grants")
        self.plans = SqlPlans(self._live.driver, self._catalog)
        self.accounts = SqlAccounts(
            self._live.driver,
            self._catalog,
            self._new_id,
            journal=self.journal,
            reservations=self.reservations,
            records=self.records,
            grants=self.grants,
        )
        self.decided = self.accounts.decided
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._makers:
            raise AttributeError(name)
        repository = self._made(name)
        setattr(self, name, repository)  # from then on it is an attribute like any other
        return repository

    def repository(self, kind: type[OwnedT]) -> OwnedRepository[OwnedT]:
        repository: OwnedRepository[OwnedT] | None = self._repositories.get(kind)
        return self._made(kind) if repository is None else repository

    def _made(self, name: str | type[Any]) -> Any:
        repository = self._repositories[name] = self._makers[name](self.journal, self._live.driver)
        return repository

    async def flush(self) -> None:
        """Writes what repositories have to write, without committing it. The commit writes it once more, as it is then."""
        await write(self._live.driver, self._changes())

    def _changes(self) -> list[Change]:
        return [change for repository in self._repositories.values() for change in repository.changes()]

    async def commit(self) -> None:
        await self.accounts.written()
        await write(self._live.driver, [*self.accounts.changes(), *self._changes()])
        self._committing = True
        await self._live.driver.execute("COMMIT")
        self._committed = True
        self.plans.committed()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        failed: BaseException | None = None
        try:
            await self.accounts.abandon()
            if error is not None:
                with storage_errors(committing=self._committing and not self._committed):
                    raise error
        except StorageUnavailable as away:
            failed = None if away is error else away.__cause__  # what was raised as such is about a disk
            raise
        finally:
            if failed is None:
                await self._release()
            else:
                self._connections.fail(self._live, failed)

    async def _release(self) -> None:
        """Gives the connection back, out of its transaction; one that cannot be got out of it is thrown away."""
        if not self._committed:
            try:
                await self._live.driver.execute("ROLLBACK", timeout=PROMPT_SECONDS_MAX)
            except CONNECTION_LOST as error:
                self._connections.lose(self._live, error, prompt=True)
                return
            except BaseException:
                self._connections.discard(self._live)
                raise
        await self._connections.give_back(self._live)
