"""Customers in memory, faithful to the SQL adapter: locked for a change, and one of two who create the same one is run again."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from core.customers.customer import Customer
from core.customers.ports import Customers
from core.errors import ConcurrentUpdate
from core.metering.journal import Journal
from core.plans.plan import Plan
from tests.unit.fakes.metering import InMemory
from tests.unit.fakes.plans import FakePlans, FakePlansUnitOfWork, PlanStore


class CustomerStore(PlanStore):
    """What is committed, customers included."""

    def __init__(self, plans: Iterable[Plan] = (), customers: Iterable[Customer] = ()) -> None:
        super().__init__(plans)
        self.customers = {customer.id: customer for customer in customers}
        self.locks: dict[str, asyncio.Lock] = {}

    def unit_of_work(self) -> "FakeCustomersUnitOfWork":
        return FakeCustomersUnitOfWork(self)


class LockedCustomers(InMemory[str, Customer], Customers):
    """Reads what it locks anew. A customer that does not exist cannot be locked."""

    def __init__(self, store: CustomerStore) -> None:
        super().__init__(Journal(), store.customers)
        self._store = store
        self._held_locks: list[asyncio.Lock] = []
        self._found: set[str] = set()

    async def lock(self, id: str) -> None:
        if id in self._store.customers:
            lock = self._store.locks.setdefault(id, asyncio.Lock())
            await lock.acquire()
            self._held_locks.append(lock)
            self._found.add(id)
        self._known[id] = self._store.customers.get(id)

    def write(self) -> None:
        if any(customer.id in self._store.customers for customer in self.saved() if customer.id not in self._found):
            raise ConcurrentUpdate
        super().write()

    def release(self) -> None:
        while self._held_locks:
            self._held_locks.pop().release()


class FakeCustomersUnitOfWork(FakePlansUnitOfWork):
    """Serves the `CustomersUnitOfWork` port."""

    store: CustomerStore
    customers: LockedCustomers

    async def __aenter__(self) -> Self:
        self.plans = FakePlans(self.store)
        self.customers = LockedCustomers(self.store)
        return self

    async def commit(self) -> None:
        self.customers.write()
        await super().commit()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.customers.release()
