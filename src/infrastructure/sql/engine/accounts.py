"""Accounts in PostgreSQL: counters created or locked in one order, then read with everything that a decision needs."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final, TypeVar
from uuid import UUID

from asyncpg import Record

from core.errors import ConcurrentUpdate
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.bookkeeping import BooksNotLoaded
from core.metering.counters import NOTHING_RAISED, Counted, Counter, CounterState, wanted_period
from core.metering.entitlements import countable
from core.metering.grants import Grants
from core.metering.journal import Journal
from core.metering.ledger import UsageRecord
from core.metering.meters import Meter
from core.metering.ports import Accounts
from core.metering.records import Records
from core.metering.reservations import Reservations
from core.metering.stored_funds import books_since, rolls_over
from infrastructure.sql.driver.rows import Change
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine import ledger
from infrastructure.sql.engine.alerts import ALERTS, raised_in
from infrastructure.sql.engine.books import read_books
from infrastructure.sql.engine.funds import to_funds
from infrastructure.sql.engine.grants import ENTRIES
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.rollups import STALE, Stale, late
from infrastructure.sql.engine.terms import agreed_in, to_billing

WRITTEN_AHEAD: Final = 200
"""Of a long list, so many commands are decided while the database writes what was decided before them."""

_METER: Final = attrgetter("customer_id", "feature")
"""Equal to a record's `meter`, and made in a fifth of the time."""

_NOTHING_HELD: Final = (0, None)

T = TypeVar("T")

_LOCK: Final = HotStatement(
    """
    SELECT * FROM lock_accounts_v6(
        CAST(:customer_ids AS text[]), CAST(:features AS text[]), CAST(:customers AS text[]), CAST(:at AS timestamptz)
    )
    """
)
"""Creates or locks counters, and then reads what decisions need; see the migration that made the function."""

_FORGET: Final = HotStatement(
    """
    INSERT INTO usage_counter (customer_id, feature)
    SELECT wanted.customer_id, wanted.feature
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:features AS text[])) AS wanted (customer_id, feature)
    ORDER BY wanted.customer_id COLLATE "C", wanted.feature COLLATE "C"
    ON CONFLICT (customer_id, feature) DO UPDATE SET period_start = NULL, period_end = NULL, funds = CASE
        WHEN usage_counter.funds IS NOT NULL OR EXISTS (
            SELECT 1 FROM usage_grant AS g WHERE g.customer_id = usage_counter.customer_id AND g.feature = usage_counter.feature
        ) THEN CAST('{}' AS json)
    END
    """
)


class SqlAccounts(Accounts):
    """Within the transaction of a unit of work."""

    def __init__(
        self,
        driver: Driver,
        catalog: PlanCatalog,
        new_id: Callable[[], UUID],
        *,
        journal: Journal,
        reservations: Reservations,
        records: Records,
        grants: Grants,
    ) -> None:
        self._driver = driver
        self._catalog = catalog
        self._new_id = new_id
        self._journal = journal
        self._reservations = reservations
        self._records = records
        self._grants = grants
        self._agreed_at: dict[str, datetime] = {}
        self._looked_at: dict[Meter, datetime] = {}
        self.locked: dict[str, Account] = {}
        self._moved: dict[tuple[str, str], None] = {}
        self._closed: dict[Meter, datetime] = {}
        self._stale: dict[tuple[Meter, datetime], Stale] = {}
        self._decided = 0
        self._writing: asyncio.Task[None] | None = None

    async def lock(self, meters: Mapping[str, Collection[Meter]], at: datetime) -> Mapping[str, Account]:
        """A counter that sums another period than the one that contains `at` gets the ledger's own sum over that one."""
        assert not self.locked, "a unit of work locks once, everything that it needs, or the order of locks would be lost"
        asked = {meter.feature for wanted in meters.values() for meter in wanted}
        catalog = await self._catalog.learn_features(self._driver, asked) if asked else self._catalog.features
        keys = [meter for wanted in meters.values() for meter in wanted if catalog.get(meter.feature) is not None]
        rows = await _LOCK.fetch(self._driver, {"customers": list(meters), "at": at, **_named(keys)})
        customers = [row for row in rows if row["plan_key"] is not None]
        agreed = [agreed_in(row, at) for row in customers]
        plans = await self._catalog.plans_of(self._driver, agreed)
        states: dict[str, dict[Meter, CounterState]] = {}
        for row, terms in zip(customers, agreed, strict=True):
            id = row["customer_id"]
            states[id] = {}
            self.locked[id] = Account(
                id,
                plans[terms],
                to_billing(row),
                states[id],
                now=at,
                catalog=catalog,
                new_id=self._new_id,
                journal=self._journal,
                reservations=self._reservations,
                corrected=self._records,
                grants=self._grants,
            )
            self._agreed_at[id] = row["updated_at"]
        await self._count(rows, states, at)
        for account in self.locked.values():
            account.watch()
        for id, state in states.items():
            if any(meter not in state and catalog.get(meter.feature) is not None for meter in meters[id]):
                # The customer, or the feature, came to be while others' locks were waited for: a counter may be made by now.
                raise ConcurrentUpdate
        return self.locked

    async def _count(self, rows: Iterable[Record], states: Mapping[str, dict[Meter, CounterState]], at: datetime) -> None:
        """What each locked counter shows of its current period; the ledger's own sum where it shows another."""
        held = {Meter(row["customer_id"], row["feature"]): (row["held"], row["held_until"]) for row in rows if row["held"] is not None}
        stale: list[Counted] = []
        closed: dict[Meter, datetime | None] = {}
        for id, feature, used, start, end, funds, raised, *_, closed_until in rows:
            if used is None:
                continue
            account, meter = self.locked[id], Meter(id, feature)
            if closed_until is not None:
                self._closed[meter] = closed_until
            period = wanted_period(account.plan, account.billing, feature, at)
            counter = Counter(used, start, end)
            shown = counter.shows(period)
            names = NOTHING_RAISED if raised is None or period is None else raised_in(raised, period.start, period.end)
            if shown is None or names is None:
                assert period is not None
                stale.append((meter, period))
            state = CounterState(shown or 0, *held.get(meter, _NOTHING_HELD), raised=names or NOTHING_RAISED)
            if period is not None:
                entitlement = countable(account.plan, feature)
                if funds is not None or rolls_over(entitlement, period):
                    stored = to_funds(funds)
                    if stored is not None and stored.hold(counter, period, entitlement, self._agreed_at[id], at):
                        state = state._replace(funds=stored.funds)
                    else:
                        closed[meter] = books_since(stored, counter, period)
                    if stored is not None and stored.funds is not None:
                        self._looked_at[meter] = stored.funds.since
            states[id][meter] = state
        if stale:
            for (meter, _), (total, raised) in (await ledger.summed(self._driver, stale)).items():
                states[meter.customer_id][meter] = states[meter.customer_id][meter]._replace(used=total, raised=raised)
                self._moved[meter] = None
        for meter, since in closed.items():
            await self._open_books(meter, since)

    async def load_books(self, missing: BooksNotLoaded) -> None:
        # What was written ahead is in the ledger, and counts with what has been there before.
        await self.written()
        await self._open_books(missing.meter, missing.since, missing.instants)

    async def _open_books(self, meter: Meter, since: datetime | None, instants: Sequence[datetime] = ()) -> None:
        account = self.locked[meter.customer_id]
        opened = await read_books(
            self._driver,
            self._catalog,
            meter,
            since=since,
            now=account.now,
            agreed_at=self._agreed_at[meter.customer_id],
            instants=instants,
            looked_at=self._looked_at.get(meter),
            unwritten=[grant for grant in self._grants.saved() if grant.meter == meter],
            new_id=self._new_id,
        )
        account.open_books(meter.feature, opened)
        self._moved[meter] = None

    async def used_within(self, wanted: Sequence[Counted]) -> Mapping[Counted, int]:
        # Nothing that was written ahead lies in these periods: an account books into a period only once it is told of this sum.
        await self.written()
        return await ledger.used_within(self._driver, wanted)

    async def forget(self, meters: Mapping[str, Collection[Meter]]) -> None:
        await _FORGET.fetch(self._driver, _named([meter for wanted in meters.values() for meter in wanted]))

    def decided(self) -> Awaitable[None] | None:
        """Now and then writes ahead what was booked: the database works on it while the next commands are decided."""
        self._decided += 1
        return self._write_ahead() if self._decided % WRITTEN_AHEAD == 0 else None

    async def _write_ahead(self) -> None:
        await self.written()
        records = self._taken()
        if records:
            sent = asyncio.Event()
            self._writing = asyncio.create_task(ledger.append(self._driver, _and_then(records, sent.set)))
            self._writing.add_done_callback(_looked_at)
            self._writing.add_done_callback(lambda _: sent.set())
            await sent.wait()

    async def written(self) -> None:
        """Returns when what was written ahead is there, and the connection is free again."""
        if self._writing is not None:
            await self._writing
            self._writing = None

    def changes(self) -> Iterable[Change]:
        """What the accounts have collected, for the commit to write."""
        records = self._taken()
        if records:
            yield ledger.RECORDS.put(records)
        entries = [entry for account in self.locked.values() for entry in account.entries]
        if entries:
            yield ENTRIES.put(entries)
        if self._stale:
            yield STALE.put(self._stale.values())
        alerts = [raised.alert for account in self.locked.values() for raised in account.alerts]
        if alerts:
            yield ALERTS.put(alerts)
            self._moved.update(dict.fromkeys(map(_METER, alerts)))
        if self._moved:
            yield ledger.COUNTERS.put(self._counted(id, feature) for id, feature in self._moved)

    def _counted(self, id: str, feature: str) -> tuple[tuple[str, str], Balance, frozenset[str]]:
        account = self.locked[id]
        return (id, feature), account.balance(feature), account.raised_of(feature)

    async def abandon(self) -> None:
        """Waits until the connection is free, where the transaction is given up in the middle."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    def _taken(self) -> list[UsageRecord]:
        """What the accounts booked since it was asked for last."""
        records: list[UsageRecord] = []
        for account in self.locked.values():
            if account.records:
                records += account.records
                account.records.clear()
        self._moved.update(dict.fromkeys(map(_METER, records)))
        if self._closed and records:
            self._stale = late(records, self._closed) | self._stale
        return records


def _named(meters: Collection[Meter]) -> dict[str, list[str]]:
    return {"customer_ids": [meter.customer_id for meter in meters], "features": [meter.feature for meter in meters]}


def _looked_at(writing: "asyncio.Task[None]") -> None:
    """Whoever waits for the task learns of its error; where nobody does any more, asyncio is not to complain."""
    if not writing.cancelled():
        writing.exception()


def _and_then(items: Iterable[T], done: Callable[[], None]) -> Iterator[T]:
    """The items; `done` is called when the last one has been taken."""
    yield from items
    done()
