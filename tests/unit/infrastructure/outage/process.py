"""A process that admits on an outage, over a storage that can be taken away, and a directory that outlives the process."""

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from core.errors import StorageUnavailable
from core.metering.balance import Amount
from core.metering.consume_usage import ConsumeUsage, ConsumeUsageCommand
from core.metering.idempotency import Once
from core.metering.use_case import Call
from core.outage.book_admitted import BookAdmitted
from core.outage.last_known import LastKnown
from core.plans.on_outage import OnOutage
from infrastructure.outage.admit import AdmitOnOutage
from infrastructure.outage.journal import OutageJournal
from infrastructure.outage.recovery import Recovery
from infrastructure.outage.state import Outage
from tests.unit.fakes.examples import NOW, ORIGIN
from tests.unit.fakes.metering import FakeStore, FakeUnitOfWork


class Storage:
    """What is committed, and whether it answers. `loses_commits`: it commits, and the answer is lost."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.is_away = False
        self.loses_commits = False
        self.chosen = {"sessions": OnOutage.ADMIT}

    async def on_outage(self) -> dict[str, OnOutage]:
        if self.is_away:
            raise StorageUnavailable
        return self.chosen


class UnitOfWork(FakeUnitOfWork):
    """Remembers as the SQL one does."""

    def __init__(self, storage: Storage, known: LastKnown) -> None:
        super().__init__(storage.store)
        self._storage = storage
        self._known = known

    async def commit(self) -> None:
        if self._storage.is_away:
            raise StorageUnavailable
        await super().commit()
        if self._storage.loses_commits:
            raise StorageUnavailable(outcome_unknown=True)
        if self._known.is_kept:
            self._known.learn(self.accounts.locked.values())


class Process:
    """All that `api/container.py` puts together."""

    def __init__(self, storage: Storage, directory: Path, *, bytes_max: int = 1 << 20, age_max: timedelta = timedelta(hours=1)) -> None:
        self.now = NOW
        self.storage = storage
        self.outage = Outage()
        self.known = LastKnown()
        self.journal = OutageJournal(directory, bytes_max, age_max, self.clock, uuid4)
        unit_of_work: Any = lambda: UnitOfWork(storage, self.known)  # noqa: E731
        self.consume_usage = AdmitOnOutage(
            ConsumeUsage(unit_of_work, self.clock), self.outage, self.known, self.journal, storage.store.catalog, self.clock, uuid4
        )
        book = BookAdmitted(unit_of_work, self.clock)
        self.recovery = Recovery(self.outage, self.known, self.journal, book, storage.on_outage, self.clock)

    def clock(self) -> datetime:
        return self.now

    async def consume(self, quantity: int = 1, key: str | None = None, **fields: Any) -> Any:
        """The outcome; what is raised is one."""
        try:
            (outcome,) = await self.consume_usage.execute([call(quantity, key, **fields)])
        except StorageUnavailable as away:
            return away
        return outcome

    def crash(self) -> None:
        """The kernel releases the locks; nothing else is done."""
        self.journal.close()


def call(quantity: int = 1, key: str | None = None, feature: str = "sessions", **fields: Any) -> Call[ConsumeUsageCommand]:
    once = Once(key, f"{feature} {quantity}".encode(), lambda result: b"200 \n%d" % result.records[0].quantity) if key else None
    command = ConsumeUsageCommand(customer_id="acme", amounts=[Amount(feature, Decimal(quantity))], origin=ORIGIN, **fields)
    return Call(command, once)
