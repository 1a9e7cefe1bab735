"""The engine's ports in memory, faithful to the SQL adapters: what is committed, what is locked, and when a counter is rebuilt."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from types import TracebackType
from typing import Self
from uuid import UUID

from core.customers.customer import Customer
from core.errors import ConcurrentUpdate, DomainError
from core.metering.account import Account, CounterState, metered_entitlement
from core.metering.idempotency import StoredReply
from core.metering.ledger import CorrectedRecord, EventKey, UsageRecord
from core.metering.ports import Accounts, Ledger, Replies, Reservations
from core.metering.reservations import Reservation
from core.plans.features import Feature, FeatureCatalog
from core.plans.periods import Period
from core.plans.plan import Plan


@dataclass(frozen=True)
class Counter:
    """A counter row: the sum of the ledger within the period whose bounds it carries."""

    period: Period
    used: int


@dataclass(frozen=True)
class Hold:
    """A hold row: so much is set aside until then."""

    quantity: int
    expires_at: datetime


class FakeStore:
    """What is committed, shared by all units of work. Tests may read and write every attribute."""

    def __init__(self, plans: Iterable[Plan] = (), customers: Iterable[Customer] = (), features: Iterable[Feature] = ()) -> None:
        self.catalog = FeatureCatalog(features)
        self.plans = {(plan.key, plan.version): plan for plan in plans}
        self.customers = {customer.id: customer for customer in customers}
        self.ledger: list[UsageRecord] = []
        self.counters: dict[tuple[str, str], Counter] = {}  # by customer and feature
        self.holds: dict[tuple[str, str, UUID], Hold] = {}  # by customer, feature and reservation
        self.reservations: dict[tuple[str, UUID], Reservation] = {}
        self.replies: dict[tuple[str, str], StoredReply] = {}  # by customer and idempotency key
        self.opened: list[FakeUnitOfWork] = []
        self.locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._ids = count(1)

    def unit_of_work(self) -> "FakeUnitOfWork":
        """A transaction of its own: pass this method wherever a factory of units of work is asked for."""
        return FakeUnitOfWork(self)

    def new_id(self) -> UUID:
        return UUID(int=next(self._ids))

    def used_within(self, customer_id: str, feature: str, period: Period) -> int:
        """The ledger's own sum."""
        mine = (record for record in self.ledger if (record.customer_id, record.feature) == (customer_id, feature))
        return sum(record.quantity for record in mine if record.occurred_at in period)

    def held_at(self, customer_id: str, feature: str, at: datetime) -> int:
        """What unexpired holds set aside."""
        mine = (hold for key, hold in self.holds.items() if key[:2] == (customer_id, feature))
        return sum(hold.quantity for hold in mine if hold.expires_at > at)


class FakeAccounts(Accounts):
    def __init__(self, store: FakeStore) -> None:
        self.locked: dict[str, Account] = {}
        self.rebuilt: dict[tuple[str, str], Counter] = {}
        self.forgotten: set[tuple[str, str]] = set()
        self._store = store
        self._held_locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def lock(self, features: Mapping[str, Collection[str]], at: datetime) -> Mapping[str, Account]:
        assert not self.locked, "accounts are locked once in a unit of work"
        store = self._store
        known = {id: [key for key in set(wanted) if store.catalog.get(key)] for id, wanted in features.items() if id in store.customers}
        await self._acquire((id, feature) for id, wanted in known.items() for feature in wanted)
        self.locked = {id: self._account(store.customers[id], wanted, at) for id, wanted in known.items()}
        return self.locked

    async def write_ahead(self) -> None:
        """Everything is written by the commit."""

    async def forget(self, features: Mapping[str, Collection[str]]) -> None:
        keys = {(id, feature) for id, wanted in features.items() for feature in wanted}
        await self._acquire(keys)
        self.forgotten |= keys

    async def _acquire(self, keys: Iterable[tuple[str, str]]) -> None:
        """In one order, so that units of work queue up and never wait for each other in a circle."""
        for key in sorted(set(keys) - self._held_locks.keys()):
            lock = self._store.locks.setdefault(key, asyncio.Lock())
            await lock.acquire()
            self._held_locks[key] = lock

    def release(self) -> None:
        while self._held_locks:
            self._held_locks.popitem()[1].release()

    def _account(self, customer: Customer, features: Collection[str], at: datetime) -> Account:
        store = self._store
        plan = store.plans[customer.plan_key, customer.plan_version]
        counters = {
            feature: CounterState(self._used(customer, plan, feature, at), store.held_at(customer.id, feature, at)) for feature in features
        }
        region = customer.phone_region
        return Account(
            customer.id, plan, customer.billing, counters, now=at, catalog=store.catalog, new_id=store.new_id, phone_region=region
        )

    def _used(self, customer: Customer, plan: Plan, feature: str, at: datetime) -> int:
        """The counter's sum; the ledger's where the counter has other bounds than those of the period that contains `at`."""
        try:
            period = customer.billing.period(metered_entitlement(plan, feature).reset, at)
        except DomainError:  # the plan does not meter it
            return 0
        key = (customer.id, feature)
        counter = self._store.counters.get(key)
        if counter is None or counter.period != period or key in self.forgotten:
            counter = self.rebuilt[key] = Counter(period, self._store.used_within(customer.id, feature, period))
        return counter.used


class FakeReplies(Replies):
    def __init__(self, store: FakeStore) -> None:
        self.added: list[StoredReply] = []
        self._store = store

    async def find(self, keys: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], StoredReply]:
        return {key: self._store.replies[key] for key in keys if key in self._store.replies}

    def add(self, reply: StoredReply, at: datetime) -> None:
        self.added.append(reply)


class FakeReservations(Reservations):
    def __init__(self, store: FakeStore) -> None:
        self._store = store

    async def find(self, ids: Iterable[tuple[str, UUID]]) -> dict[UUID, Reservation]:
        return {key[1]: self._store.reservations[key] for key in ids if key in self._store.reservations}


class FakeLedger(Ledger):
    def __init__(self, store: FakeStore) -> None:
        self._store = store

    async def find(self, ids: Iterable[tuple[str, UUID]]) -> dict[UUID, CorrectedRecord]:
        wanted = set(ids)
        return {record.id: self._corrected(record) for record in self._store.ledger if (record.customer_id, record.id) in wanted}

    async def known_events(self, events: Iterable[EventKey]) -> set[EventKey]:
        return set(_event_keys(self._store.ledger)).intersection(events)

    def _corrected(self, record: UsageRecord) -> CorrectedRecord:
        corrections = [entry for entry in self._store.ledger if (entry.customer_id, entry.corrects) == (record.customer_id, record.id)]
        return CorrectedRecord(record, record.quantity + sum(entry.quantity for entry in corrections))


class FakeUnitOfWork:
    """Serves the `UnitOfWork` port: keeps what is to be written to itself until `commit`, which writes all of it or nothing.

    A product's fake extends it: repositories made in `__aenter__`, their writes made after `await super().commit()`.
    """

    accounts: FakeAccounts
    ledger: FakeLedger
    replies: FakeReplies
    reservations: FakeReservations

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.committed = False
        store.opened.append(self)

    async def __aenter__(self) -> Self:
        self.accounts = FakeAccounts(self.store)
        self.ledger = FakeLedger(self.store)
        self.replies = FakeReplies(self.store)
        self.reservations = FakeReservations(self.store)
        return self

    async def commit(self) -> None:
        assert not self.committed, "a unit of work is committed once"
        accounts = self.accounts.locked.values()
        records = [record for account in accounts for record in account.records]
        _require_free(_event_keys(records), taken=_event_keys(self.store.ledger))
        _require_free([(reply.customer_id, reply.key) for reply in self.replies.added], taken=self.store.replies)
        self.store.ledger += records
        for key in self.accounts.forgotten:
            self.store.counters.pop(key, None)
        self.store.counters |= self.accounts.rebuilt
        for account in accounts:
            for balance in account.touched():
                self.store.counters[account.customer_id, balance.feature.key] = Counter(balance.period, balance.used)
            for reservation in account.reservations:
                self._write(reservation)
        self.store.replies |= {(reply.customer_id, reply.key): reply for reply in self.replies.added}
        self.committed = True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.accounts.release()

    def _write(self, reservation: Reservation) -> None:
        """The reservation's next state, and its holds to match: a hold row exists for what is still set aside."""
        self.store.reservations[reservation.customer_id, reservation.id] = reservation
        for feature in reservation.usage:
            key = (reservation.customer_id, feature, reservation.id)
            if quantity := reservation.held.get(feature):
                self.store.holds[key] = Hold(quantity, reservation.expires_at)
            else:
                self.store.holds.pop(key, None)


def _event_keys(records: Iterable[UsageRecord]) -> list[EventKey]:
    return [EventKey(record.customer_id, record.origin.source, record.event_id) for record in records if record.event_id is not None]


def _require_free(keys: Sequence[tuple[str, ...]], taken: Collection[tuple[str, ...]]) -> None:
    """A unique constraint."""
    if len(set(keys)) < len(keys) or not set(keys).isdisjoint(taken):
        raise ConcurrentUpdate
