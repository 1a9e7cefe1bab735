"""The engine's ports in memory, faithful to the SQL adapters: what is committed, what is locked, and when a counter is rebuilt."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from core.customers.customer import Customer
from core.errors import ConcurrentUpdate
from core.events.event import Event
from core.metering import counters
from core.metering.account import Account
from core.metering.alerts import Alert
from core.metering.bookkeeping import BooksNotLoaded
from core.metering.books import Opened, Place, Total, next_event, opened
from core.metering.counters import Counted, CounterState, wanted_period
from core.metering.entitlements import countable
from core.metering.grants import Grant, GrantEntry, GrantKey, Grants
from core.metering.idempotency import ReplyKey, StoredReply
from core.metering.journal import Journal
from core.metering.ledger import Cause, CorrectedRecord, EventKey, RecordKey, UsageRecord
from core.metering.meters import Meter
from core.metering.outbox import Outbox
from core.metering.owned import OwnedKey, OwnedRepository
from core.metering.ports import Accounts, Events, Replies
from core.metering.records import Records
from core.metering.repository import Repository
from core.metering.reservations import Reservation, ReservationKey, Reservations
from core.metering.stored_funds import StoredFunds, books_since, rolls_over
from core.metering.timeline import Span, timeline
from core.plans.agreement import plan_at
from core.plans.features import Feature, FeatureCatalog
from core.plans.periods import Period
from core.plans.plan import Metered, Plan
from core.plans.terms import Terms, TermsChange, TermsHistory
from core.products import BUILT_IN

K = TypeVar("K")
V = TypeVar("V")


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
        self.catalog = FeatureCatalog([*BUILT_IN, *features])
        self.plans = {(plan.key, plan.version): plan for plan in plans}
        self.customers = {customer.id: customer for customer in customers}
        self.terms: dict[tuple[str, UUID], TermsChange] = {}
        self.ledger: list[UsageRecord] = []
        self.counters: dict[Meter, Counter] = {}
        self.holds: dict[tuple[str, str, UUID], Hold] = {}  # by customer, feature and reservation
        self.reservations: dict[ReservationKey, Reservation] = {}
        self.grants: dict[GrantKey, Grant] = {}
        self.entries: list[GrantEntry] = []
        self.events: list[Event] = []
        self.alerts: list[Alert] = []
        self.funds: dict[Meter, StoredFunds] = {}
        self.books_opened = 0
        self.replies: dict[ReplyKey, StoredReply] = {}
        self.owned: dict[type[Any], dict[OwnedKey, Any]] = {}  # by their kind
        self.opened: list[FakeUnitOfWork] = []
        self.sums_asked = 0
        self.locks: dict[Meter, asyncio.Lock] = {}
        self.customers_deleted: set[str] = set()
        self.customer_locks: dict[str, asyncio.Lock] = {}
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
        return sum(hold.quantity for hold in self._holds(customer_id, feature, at))

    def held_until(self, customer_id: str, feature: str, at: datetime) -> datetime | None:
        """When the last one of them ends."""
        return max((hold.expires_at for hold in self._holds(customer_id, feature, at)), default=None)

    def _holds(self, customer_id: str, feature: str, at: datetime) -> list[Hold]:
        return [hold for key, hold in self.holds.items() if key[:2] == (customer_id, feature) and hold.expires_at > at]


class InMemory(Repository[K, V]):
    """A repository over a dictionary of what is committed. A fake names its port as the other base."""

    def __init__(self, journal: Journal, stored: dict[K, V]) -> None:
        super().__init__(journal)
        self._stored = stored

    async def find(self, keys: Sequence[K]) -> Iterable[V]:
        return [self._stored[key] for key in keys if key in self._stored]

    def write(self) -> None:
        """What the commit does."""
        self._stored |= {self.key(value): value for value in self.saved()}


R = TypeVar("R", bound=InMemory[Any, Any])


class FakeAccounts(Accounts):
    def __init__(self, store: FakeStore, journal: Journal, reservations: Reservations, records: Records, grants: Grants) -> None:
        self.locked: dict[str, Account] = {}
        self.rebuilt: dict[Meter, Counter] = {}
        self._closed: dict[Meter, datetime | None] = {}
        self.forgotten: set[Meter] = set()
        self._store = store
        self._journal = journal
        self._reservations = reservations
        self._records = records
        self._grants = grants
        self._held_locks: dict[Meter, asyncio.Lock] = {}

    async def lock(self, meters: Mapping[str, Collection[Meter]], at: datetime) -> Mapping[str, Account]:
        assert not self.locked, "accounts are locked once in a unit of work"
        store = self._store
        declared = {id: {meter for meter in wanted if store.catalog.get(meter.feature)} for id, wanted in meters.items()}
        known = {id: wanted for id, wanted in declared.items() if id in store.customers}
        await self._acquire(meter for wanted in known.values() for meter in wanted)
        self.locked = {id: self._account(store.customers[id], wanted, at) for id, wanted in known.items()}
        for meter, since in self._closed.items():
            self._open_books(meter, since)
        for account in self.locked.values():
            account.watch()
        return self.locked

    async def load_books(self, missing: BooksNotLoaded) -> None:
        self._open_books(missing.meter, missing.since, missing.instants)

    def _open_books(self, meter: Meter, since: datetime | None, instants: Collection[datetime] = ()) -> None:
        self._store.books_opened += 1
        account = self.locked[meter.customer_id]
        account.open_books(meter.feature, books_in(self._store, meter, since, account.now, instants, self._grants.saved()))

    async def used_within(self, wanted: Sequence[Counted]) -> Mapping[Counted, int]:
        self._store.sums_asked += 1
        assert self._held_locks.keys() >= {meter for meter, _ in wanted}, "nobody else may book there meanwhile"
        return {(meter, period): self._store.used_within(*meter, period) for meter, period in wanted}

    async def forget(self, meters: Mapping[str, Collection[Meter]]) -> None:
        keys = {meter for wanted in meters.values() for meter in wanted}
        await self._acquire(keys)
        self.forgotten |= keys

    async def _acquire(self, keys: Iterable[Meter]) -> None:
        """In one order, so that units of work queue up and never wait for each other in a circle."""
        for key in sorted(set(keys) - self._held_locks.keys()):
            lock = self._store.locks.setdefault(key, asyncio.Lock())
            await lock.acquire()
            self._held_locks[key] = lock

    def release(self) -> None:
        while self._held_locks:
            self._held_locks.popitem()[1].release()

    def _account(self, customer: Customer, meters: Collection[Meter], at: datetime) -> Account:
        store = self._store
        customer = customer.at(at)
        plan = plan_at(customer.plan, customer.agreement, store.plans)
        states = {meter: self._state(customer, plan, meter, at) for meter in meters}
        return Account(
            customer.id,
            plan,
            customer.billing,
            states,
            now=at,
            catalog=store.catalog,
            new_id=store.new_id,
            journal=self._journal,
            reservations=self._reservations,
            corrected=self._records,
            grants=self._grants,
        )

    def _state(self, customer: Customer, plan: Plan, meter: Meter, at: datetime) -> CounterState:
        store = self._store
        kept = None if meter in self.forgotten else store.counters.get(meter)
        held = store.held_at(*meter, at), store.held_until(*meter, at)
        period = wanted_period(plan, customer.billing, meter.feature, at)
        mine = [alert for alert in store.alerts if (alert.customer_id, alert.feature, alert.period) == (*meter, period)]
        raised = frozenset(alert.name for alert in mine)
        assert len(raised) == len(mine), "the primary key"
        state = CounterState(self._used(customer, plan, meter, at), *held, raised=raised)
        stored = store.funds.get(meter)
        if period is None or (stored is None and not rolls_over(countable(plan, meter.feature), period)):
            return state
        counter, entitlement = _as_counter(kept), countable(plan, meter.feature)
        if stored is not None and stored.hold(counter, period, entitlement, customer.updated_at, at):
            return state._replace(funds=stored.funds)
        self._closed[meter] = books_since(stored, counter, period)
        return state

    def _used(self, customer: Customer, plan: Plan, meter: Meter, at: datetime) -> int:
        """The counter's sum; the ledger's where the counter has other bounds than those of the period that contains `at`."""
        wanted = wanted_period(plan, customer.billing, meter.feature, at)
        stored = self._store.counters.get(meter)
        stored = None if meter in self.forgotten else stored
        shown = _as_counter(stored).shows(wanted)
        if shown is not None:
            return shown
        assert wanted is not None
        rebuilt = self.rebuilt[meter] = Counter(wanted, self._store.used_within(customer.id, meter.feature, wanted))
        return rebuilt.used


def _as_counter(stored: Counter | None) -> counters.Counter:
    return counters.Counter(stored.used, stored.period.start, stored.period.end) if stored else counters.NEVER_COUNTED


def books_in(
    store: FakeStore,
    meter: Meter,
    since: datetime | None,
    now: datetime,
    instants: Collection[datetime] = (),
    unwritten: Collection[Grant] = (),
) -> Opened:
    """A meter's books, from everything that is stored."""
    customer = store.customers[meter.customer_id]
    history = TermsHistory.of(change for change in store.terms.values() if change.customer_id == customer.id)
    if not history.changes:
        first = TermsChange(
            id=UUID(int=0),
            customer_id=customer.id,
            effective_at=customer.created_at,
            recorded_at=customer.created_at,
            recorded_by="test",
            plan=customer.plan,
            billing=customer.billing,
        )
        history = TermsHistory([first])

    def metered(terms: Terms) -> Metered:
        return countable(plan_at(terms.plan, terms.agreement, store.plans), meter.feature)

    stored = {grant.id: grant for grant in (*store.grants.values(), *unwritten)}
    grants = [grant for grant in stored.values() if grant.meter == meter]
    cuts = {*instants, *(instant for grant in grants for instant in (grant.effective_at, grant.ends_at))}
    rolling = [change.effective_at for change, terms in history.steps() if metered(terms).rollover]
    since = min(since or min([now, *rolling, *(grant.effective_at for grant in grants)]), now)
    spans = timeline(history, metered, since=since, now=now, instants=cuts)
    mine = [record for record in store.ledger if record.meter == meter and record.occurred_at == record.recorded_at]
    now = max([now, *(record.occurred_at for record in mine if record.occurred_at < spans[-1].end)])
    spans = timeline(history, metered, since=since, now=now, instants=cuts)
    grants = [grant for grant in grants if grant.ends_at > spans[0].start]
    known = {grant.id for grant in grants}
    entries = [entry for entry in store.entries if entry.grant_id in known]
    totals = [
        Total(number, entry.grant_id, entry.kind, entry.quantity)
        for entry in entries
        for number in [_span_of(entry.occurred_at, spans)]
        if number != len(spans)
    ]
    used = {
        Place(number, index): store.used_within(*meter, Period(segment.start, segment.end))
        for number, span in enumerate(spans)
        for index, segment in enumerate(span.segments)
    }
    until = next_event(now, spans[-1].period, grants, history.turns(now, spans[-1].end))
    return opened(meter, spans, grants, totals, used, now, until, customer.updated_at, store.new_id)


def _span_of(instant: datetime, spans: Sequence[Span]) -> int | None:
    """None: before the first one; as many as there are: after the last one."""
    if instant < spans[0].start:
        return None
    return next((number for number, span in enumerate(spans) if instant < span.end), len(spans))


class FakeGrants(InMemory[GrantKey, Grant], Grants):
    """Grants in memory."""

    async def find_referred(self, references: Sequence[tuple[str, str]]) -> Iterable[Grant]:
        return [grant for grant in self._stored.values() if (grant.customer_id, grant.reference) in references]


class FakeReplies(InMemory[ReplyKey, StoredReply], Replies):
    """Replies in memory."""


class FakeReservations(InMemory[ReservationKey, Reservation], Reservations):
    """Reservations in memory; holds are rows of their own."""

    def __init__(self, journal: Journal, store: FakeStore) -> None:
        super().__init__(journal, store.reservations)
        self._holds = store.holds

    def write(self) -> None:
        super().write()
        for reservation in self.saved():
            for feature in reservation.usage:
                key = (reservation.customer_id, feature, reservation.id)
                if quantity := reservation.held.get(feature):
                    self._holds[key] = Hold(quantity, reservation.expires_at)
                else:
                    self._holds.pop(key, None)


class FakeRecords(Records):
    def __init__(self, journal: Journal, store: FakeStore) -> None:
        super().__init__(journal)
        self._store = store

    async def find(self, keys: Sequence[RecordKey]) -> Iterable[CorrectedRecord]:
        return [self._corrected(record) for record in self._store.ledger if RecordKey(record.customer_id, record.id) in keys]

    async def find_of(self, causes: Sequence[Cause]) -> Iterable[CorrectedRecord]:
        booked = sorted((record for record in self._store.ledger if record.corrects is None), key=lambda record: record.id)
        return [self._corrected(record) for record in booked if record.cause in causes]

    def _corrected(self, record: UsageRecord) -> CorrectedRecord:
        corrections = [entry for entry in self._store.ledger if (entry.customer_id, entry.corrects) == (record.customer_id, record.id)]
        return CorrectedRecord(record, record.quantity + sum(entry.quantity for entry in corrections))


class FakeEvents(Events):
    def __init__(self, journal: Journal, store: FakeStore) -> None:
        super().__init__(journal)
        self._store = store

    async def find(self, keys: Sequence[EventKey]) -> Iterable[EventKey]:
        return set(_event_keys(self._store.ledger)).intersection(keys)


class FakeOwned(InMemory[OwnedKey, Any], OwnedRepository[Any]):
    """Things of one kind in memory."""


class FakeUnitOfWork:
    """Serves the `UnitOfWork` port: keeps what is to be written to itself until `commit`, which writes all of it or nothing.

    A product's fake extends it: `_add` its repositories in `__aenter__`.
    """

    journal: Journal
    accounts: FakeAccounts
    records: FakeRecords
    events: FakeEvents
    replies: FakeReplies
    reservations: FakeReservations
    grants: FakeGrants
    outbox: Outbox

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.committed = False
        store.opened.append(self)

    async def __aenter__(self) -> Self:
        self.journal = Journal()
        self._written: list[InMemory[Any, Any]] = []
        self._owned: dict[type[Any], FakeOwned] = {}
        self.records = FakeRecords(self.journal, self.store)
        self.events = FakeEvents(self.journal, self.store)
        self.replies = self._add(FakeReplies(self.journal, self.store.replies))
        self.reservations = self._add(FakeReservations(self.journal, self.store))
        self.grants = self._add(FakeGrants(self.journal, self.store.grants))
        self.outbox = Outbox(self.journal)
        self.accounts = FakeAccounts(self.store, self.journal, self.reservations, self.records, self.grants)
        return self

    def repository(self, kind: type[Any]) -> FakeOwned:
        if kind not in self._owned:
            self._owned[kind] = self._add(FakeOwned(self.journal, self.store.owned.setdefault(kind, {})))
        return self._owned[kind]

    def _add(self, repository: R) -> R:
        """Has the repository write what was saved when the unit of work commits."""
        self._written.append(repository)
        return repository

    def decided(self) -> None:
        """Everything is written by the commit."""

    async def commit(self) -> None:
        assert not self.committed, "a unit of work is committed once"
        accounts = self.accounts.locked.values()
        records = [record for account in accounts for record in account.records]
        _require_free(_event_keys(records), taken=_event_keys(self.store.ledger))
        _require_free([self.replies.key(reply) for reply in self.replies.saved()], taken=self.store.replies)
        self.check()
        self.store.ledger += records
        for meter in self.accounts.forgotten:
            self.store.counters.pop(meter, None)
        self.store.counters |= self.accounts.rebuilt
        for account in accounts:
            for balance in account.touched():
                meter = Meter(account.customer_id, balance.feature.key)
                self.store.counters[meter] = Counter(balance.period, balance.used)
                if balance.funds is not None:
                    self.store.funds[meter] = StoredFunds(balance.funds, balance.used)
            self.store.entries += account.entries
            self.store.alerts += [raised.alert for raised in account.alerts]
        told = {(event.customer_id, event.once) for event in self.store.events if event.once}
        for event in self.outbox.added:
            if event.once is None or (event.customer_id, event.once) not in told:
                told.add((event.customer_id, event.once))
                self.store.events.append(event)
        for repository in self._written:
            repository.write()
        self.committed = True

    def check(self) -> None:
        """A product's own constraints."""

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.accounts.release()


def _event_keys(records: Iterable[UsageRecord]) -> list[EventKey]:
    return [EventKey(record.customer_id, record.origin.source, record.event_id) for record in records if record.event_id is not None]


def _require_free(keys: Sequence[tuple[str, ...]], taken: Collection[tuple[str, ...]]) -> None:
    """A unique constraint."""
    if len(set(keys)) < len(keys) or not set(keys).isdisjoint(taken):
        raise ConcurrentUpdate
