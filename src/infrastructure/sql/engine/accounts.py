"""Accounts in PostgreSQL: counters created or locked in one order, then read with everything that a decision needs."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import ConcurrentUpdate, DomainError
from core.metering.account import Account, CounterState, metered_entitlement
from core.metering.ledger import UsageRecord
from core.metering.ports import Accounts
from core.plans.periods import Billing, Interval, Period
from core.plans.plan import Plan
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine import ledger, reservations
from infrastructure.sql.engine.ledger import Counted
from infrastructure.sql.engine.plans import SqlPlans

T = TypeVar("T")

_LOCK: Final = HotStatement(
    """
    SELECT * FROM lock_accounts(
        CAST(:customer_ids AS text[]), CAST(:features AS text[]), CAST(:customers AS text[]), CAST(:at AS timestamptz)
    )
    """
)
"""Creates or locks counters, and then reads what decisions need; see the migration that made the function."""

_FORGET: Final = text(
    """
    INSERT INTO usage_counter (customer_id, feature)
    SELECT wanted.customer_id, wanted.feature
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:features AS text[])) AS wanted (customer_id, feature)
    ORDER BY wanted.customer_id COLLATE "C", wanted.feature COLLATE "C"
    ON CONFLICT (customer_id, feature) DO UPDATE SET period_start = NULL, period_end = NULL
    """
)


_COUNTED: Final = attrgetter("customer_id", "feature")


class SqlAccounts(Accounts):
    """Within the transaction of a unit of work."""

    def __init__(self, connection: AsyncConnection, driver: Driver, plans: SqlPlans, new_id: Callable[[], UUID]) -> None:
        self._connection = connection
        self._driver = driver
        self._plans = plans
        self._new_id = new_id
        self.locked: dict[str, Account] = {}
        self._moved: dict[tuple[str, str], None] = {}
        self._writing: asyncio.Task[None] | None = None

    async def lock(self, features: Mapping[str, Collection[str]], at: datetime) -> Mapping[str, Account]:
        """A counter that sums another period than the one that contains `at` gets the ledger's own sum over that one."""
        assert not self.locked, "a unit of work locks once, everything that it needs, or the order of locks would be lost"
        asked = {feature for wanted in features.values() for feature in wanted}
        catalog = await self._plans.learn_features(self._connection, asked) if asked else self._plans.catalog
        keys = [(id, feature) for id, wanted in features.items() for feature in wanted if catalog.get(feature) is not None]
        parameters = {"customer_ids": [id for id, _ in keys], "features": [feature for _, feature in keys]}
        rows = await _LOCK.fetch(self._driver, {"customers": list(features), "at": at, **parameters})
        customers = [row for row in rows if row["plan_key"] is not None]
        counters = [row for row in rows if row["used"] is not None]
        held = {(row["customer_id"], row["feature"]): row["held"] for row in rows if row["held"] is not None}
        versions = await self._plans.versions(self._connection, {(row["plan_key"], row["plan_version"]) for row in customers})
        states: dict[str, dict[str, CounterState]] = {}
        for row in customers:
            id, plan = row["customer_id"], versions[row["plan_key"], row["plan_version"]]
            state = states[id] = {}
            billing, region = to_billing(row), row["phone_region"]
            self.locked[id] = Account(id, plan, billing, state, now=at, catalog=catalog, new_id=self._new_id, phone_region=region)
        stale: list[Counted] = []
        for id, feature, used, start, end, *_ in counters:
            period = wanted_period(self.locked[id].plan, self.locked[id].billing, feature, at)
            if period is None:
                used = 0
            elif (start, end) != (period.start, period.end):
                stale.append((id, feature, period))
            states[id][feature] = CounterState(used, held.get((id, feature), 0))
        if stale:
            for (id, feature, _), total in (await ledger.used_within(self._connection, stale)).items():
                states[id][feature] = states[id][feature]._replace(used=total)
                self._moved[id, feature] = None
        for id, state in states.items():
            if any(feature not in state and catalog.get(feature) is not None for feature in features[id]):
                # The customer, or the feature, came to be while others' locks were waited for: a counter may be made by now.
                raise ConcurrentUpdate
        return self.locked

    async def forget(self, features: Mapping[str, Collection[str]]) -> None:
        keys = [(id, feature) for id, wanted in features.items() for feature in wanted]
        parameters = {"customer_ids": [id for id, _ in keys], "features": [feature for _, feature in keys]}
        await self._connection.execute(_FORGET, parameters)

    async def write_ahead(self) -> None:
        await self._wait()
        records = self._taken()
        if records:
            sent = asyncio.Event()
            self._writing = asyncio.create_task(ledger.append(self._driver, _and_then(records, sent.set)))
            self._writing.add_done_callback(_looked_at)
            self._writing.add_done_callback(lambda _: sent.set())
            await sent.wait()

    async def flush(self) -> None:
        """Writes what the accounts have collected."""
        await self._wait()
        records = self._taken()
        counters = [(id, self.locked[id].balance(feature)) for id, feature in self._moved]
        await ledger.write(self._driver, records, counters)
        await reservations.write(self._connection, [item for account in self.locked.values() for item in account.reservations])

    async def abandon(self) -> None:
        """Waits until the connection is free, where the transaction is given up in the middle."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _wait(self) -> None:
        if self._writing is not None:
            await self._writing
            self._writing = None

    def _taken(self) -> list[UsageRecord]:
        """What the accounts booked since it was asked for last."""
        records = [record for account in self.locked.values() for record in account.records]
        self._moved.update(dict.fromkeys(map(_COUNTED, records)))
        for account in self.locked.values():
            account.records.clear()
        return records


def _looked_at(writing: "asyncio.Task[None]") -> None:
    """Whoever waits for the task learns of its error; where nobody does any more, asyncio is not to complain."""
    if not writing.cancelled():
        writing.exception()


def _and_then(items: Iterable[T], done: Callable[[], None]) -> Iterator[T]:
    """The items; `done` is called when the last one has been taken."""
    yield from items
    done()


def wanted_period(plan: Plan, billing: Billing, feature: str, at: datetime) -> Period | None:
    """The period that usage of the feature counts in; None where the plan does not meter it."""
    try:
        return billing.period(metered_entitlement(plan, feature).reset, at)
    except DomainError:
        return None


def to_billing(row: Record) -> Billing:
    """The calendar in a customer's row."""
    return _billing(row["billing_anchor"], row["billing_interval"], row["time_zone"])


@lru_cache(maxsize=20_000)
def _billing(anchor: datetime | None, interval: str, time_zone: str) -> Billing:
    return Billing(anchor, Interval(interval), ZoneInfo(time_zone))
