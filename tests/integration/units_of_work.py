"""Units of work over PostgreSQL and over the fakes that the unit tests trust, and what tests do with either."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from core.customers.customer import Customer
from core.events.event import Event
from core.metering.account import Account
from core.metering.ledger import Origin, UsageRecord
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.reservations import Reservation
from core.plans.periods import Billing, Interval, Period
from core.plans.plan import Metered, Plan, Static
from core.products import BUILT_IN, OPTIONS
from infrastructure.ids import new_id
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.owned import OwnedKind
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.engine.outbox import EVENTS
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.unit_of_work import SqlUnitOfWork
from infrastructure.sql.registry import REPOSITORIES
from tests.unit.fakes.metering import Counter, FakeStore, FakeUnitOfWork

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
INSTANT = timedelta(microseconds=1)
PLAN = Plan("pro", 1, "Pro", {"sessions": Metered(10), "ai_runs": Metered(None), "file_mb": Static(Decimal(5))})
ACME = Customer(
    "acme", "pro", 1, Billing(datetime(2026, 1, 1, tzinfo=UTC), Interval.MONTH, ZoneInfo("UTC")), created_at=NOW, updated_at=NOW
)
GLOBEX = replace(ACME, id="globex")
ORIGIN = Origin("test", "key 1", "order 7")


@asynccontextmanager
async def connections_to(database_url: str) -> AsyncIterator[Connections]:
    """Open until the end, and then closed with all that was kept."""
    engine = create_engine(database_url)
    connections = Connections(engine)
    yield connections
    await connections.close()
    await engine.dispose()


class Storage(ABC):
    """Where units of work come from, and the things that happen outside of them."""

    @abstractmethod
    def open(self) -> Any:
        """A unit of work, with the repositories of whichever product a test is about."""

    @abstractmethod
    async def publish(self, plan: Plan) -> None: ...

    @abstractmethod
    async def put(self, customer: Customer) -> None: ...

    @abstractmethod
    async def told(self) -> list[Event]:
        """The events that are written, in the order of their ids."""

    @abstractmethod
    async def tamper(self, used: int) -> None:
        """Makes ACME's counter of sessions in November wrong."""


class SqlStorage(Storage):
    """`owned` are kinds of things that the registry does not have."""

    def __init__(self, connections: Connections, *owned: OwnedKind[Any]) -> None:
        self._connections, self._catalog = connections, PlanCatalog(BUILT_IN, OPTIONS)
        self._repositories = REPOSITORIES | {kept.kind: kept.repository for kept in owned}

    def open(self) -> SqlUnitOfWork:
        return SqlUnitOfWork(self._connections, self._catalog, new_id, self._repositories)

    async def create(self, table: Table) -> None:
        """A table that no migration makes, with its indexes."""
        for made in (CreateTable(table), *map(CreateIndex, table.indexes)):
            await self._connections.ask(lambda driver, made=made: driver.execute(str(made.compile(dialect=postgresql.dialect()))))

    async def publish(self, plan: Plan) -> None:
        async with self.open() as uow:
            await uow.plans.publish(plan)
            await uow.commit()

    async def put(self, customer: Customer) -> None:
        async with self.open() as uow:
            await uow.customers.lock(customer.id)
            uow.customers.save(customer)
            await uow.commit()

    async def told(self) -> list[Event]:
        rows = await self._connections.ask(lambda driver: driver.fetch("SELECT * FROM outbox_event ORDER BY id"))
        return [EVENTS.from_row(row) for row in rows]

    async def tamper(self, used: int) -> None:
        await self._connections.ask(lambda driver: driver.execute("UPDATE usage_counter SET used = $1", used))


class FakeStorage(Storage):
    """`store` is the one whose units of work have the repositories that a test is about."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store

    def open(self) -> FakeUnitOfWork:
        return self._store.unit_of_work()

    async def publish(self, plan: Plan) -> None:
        self._store.plans[plan.key, plan.version] = plan

    async def put(self, customer: Customer) -> None:
        self._store.customers[customer.id] = customer

    async def told(self) -> list[Event]:
        return sorted(self._store.events, key=lambda event: event.id)

    async def tamper(self, used: int) -> None:
        self._store.counters[Meter("acme", "sessions")] = Counter(NOVEMBER, used)


async def locked(uow: UnitOfWork, customer: str = "acme", feature: str = "sessions", at: datetime = NOW) -> Account:
    return (await uow.accounts.lock({customer: [Meter(customer, feature)]}, at))[customer]


async def book(
    storage: Storage, quantity: int, customer: str = "acme", at: datetime = NOW, occurred_at: datetime | None = None
) -> UsageRecord:
    async with storage.open() as uow:
        account = await locked(uow, customer, at=at)
        await uow.accounts.load_periods([(Meter(customer, "sessions"), occurred_at or at)])
        record = account.record("sessions", quantity, ORIGIN, occurred_at=occurred_at)
        await uow.commit()
    return record


async def standing(storage: Storage, feature: str = "sessions", at: datetime = NOW, customer: str = "acme") -> tuple[int, int]:
    """What is used and what is held."""
    async with storage.open() as uow:
        balance = (await locked(uow, customer, feature, at)).balance(feature)
    return balance.used, balance.held


def reservation(quantity: int = 4, expires_at: datetime = NOW + timedelta(minutes=5)) -> Reservation:
    usage = {"sessions": quantity}
    return Reservation(new_id(), "acme", usage, usage, NOW, expires_at, "order 8")


async def hold(storage: Storage, held: Reservation) -> None:
    async with storage.open() as uow:
        (await locked(uow)).reserve(held)
        await uow.commit()
