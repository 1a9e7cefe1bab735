"""A transaction that lets the process remember where its customers stood, for when the database is away."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from core.metering.journal import Journal
from core.outage.last_known import LastKnown
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import Driver
from infrastructure.sql.driver.stored import Written
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.unit_of_work import SqlUnitOfWork


class RememberingUnitOfWork(SqlUnitOfWork):
    """Whatever use case it serves: only what is committed is remembered."""

    def __init__(
        self,
        connections: Connections,
        catalog: PlanCatalog,
        new_id: Callable[[], UUID],
        repositories: Mapping[str | type[Any], Callable[[Journal, Driver], Written]],
        known: LastKnown,
    ) -> None:
        super().__init__(connections, catalog, new_id, repositories)
        self._known = known

    async def commit(self) -> None:
        await super().commit()
        if self._known.is_kept:
            self._known.learn(self.accounts.locked.values())
