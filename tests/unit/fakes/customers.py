"""Customers' ports in memory, faithful to the SQL adapter."""

import asyncio
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Self

from core.customers.customer import Customer
from core.customers.deletion import CustomerBeingDeleted
from core.customers.ports import Customers, PhoneRegions, TermsChanges, TermsKey
from core.errors import ConcurrentUpdate
from core.metering.journal import Journal
from core.plans.features import Feature
from core.plans.plan import Plan
from core.plans.terms import TermsChange
from tests.unit.fakes.metering import FakeStore, FakeUnitOfWork, InMemory
from tests.unit.fakes.plans import FakePlans, PlanStore


class CustomersStore(FakeStore, PlanStore):
    """What is committed, with units of work that have customers and plans."""

    def __init__(self, plans: Iterable[Plan] = (), customers: Iterable[Customer] = (), features: Iterable[Feature] = ()) -> None:
        super().__init__(plans, customers, features)
        self.declared = {feature.key: feature for feature in features}

    def unit_of_work(self) -> "FakeCustomersUnitOfWork":
        return FakeCustomersUnitOfWork(self)


class FakeCustomers(InMemory[str, Customer], Customers):
    def __init__(self, journal: Journal, store: FakeStore) -> None:
        super().__init__(journal, store.customers)
        self._locks = store.customer_locks
        self._deleted = store.customers_deleted
        self._held: dict[str, asyncio.Lock] = {}
        self._new: set[str] = set()

    async def lock(self, id: str) -> None:
        """Waits for whoever has locked the customer before; where there is none, there is nothing to lock."""
        if id in self._stored and id not in self._held:
            lock = self._locks.setdefault(id, asyncio.Lock())
            await lock.acquire()
            self._held[id] = lock
        self._known[id] = self._stored.get(id)

    async def require_gone(self, id: str) -> None:
        if id in self._deleted:
            raise CustomerBeingDeleted(id)

    def save(self, value: Customer) -> None:
        if self._known.get(value.id, value) is None:
            self._new.add(value.id)
        super().save(value)

    def check(self) -> None:
        """The primary key: who was not there may have been created by somebody else meanwhile."""
        if any(value.id in self._new and value.id in self._stored for value in self.saved()):
            raise ConcurrentUpdate

    def release(self) -> None:
        while self._held:
            self._held.popitem()[1].release()


class FakeTermsChanges(InMemory[TermsKey, TermsChange], TermsChanges):
    """Entries of histories in memory."""


class FakeCustomersUnitOfWork(FakeUnitOfWork):
    customers: FakeCustomers
    terms: FakeTermsChanges
    plans: FakePlans

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._before: tuple[dict[str, Customer], dict[TermsKey, TermsChange]] | None = None
        self.customers = self._add(FakeCustomers(self.journal, self.store))
        self.terms = self._add(FakeTermsChanges(self.journal, self.store.terms))
        self.plans = FakePlans(self.store)
        return self

    async def flush(self) -> None:
        """What is written is taken back at the end, where it was not committed."""
        self._before = dict(self.store.customers), dict(self.store.terms)
        self.customers.write()
        self.terms.write()

    def check(self) -> None:
        self.customers.check()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._before is not None and not self.committed:
            self.store.customers, self.store.terms = self._before
        self.customers.release()
        await super().__aexit__(kind, error, trace)


class FakePhoneRegions(PhoneRegions):
    def known(self) -> Collection[str]:
        return ("AT", "DE", "GB", "US")
