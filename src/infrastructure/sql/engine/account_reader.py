"""Accounts as they stand, read in one statement and locked by nobody."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from asyncpg import Record

from core.metering.account import Account, CustomerNotFound
from core.metering.books import Opened
from core.metering.counters import NEVER_COUNTED, Counted, Counter, CounterState, wanted_period
from core.metering.entitlements import countable
from core.metering.grants import NoGrants
from core.metering.journal import Journal
from core.metering.meters import Meter
from core.metering.ports import AccountReader
from core.metering.records import NoRecords
from core.metering.reservations import NoReservations
from core.metering.stored_funds import books_since, rolls_over
from core.plans.features import FeatureCatalog
from core.plans.periods import Billing
from core.plans.plan import Metered, Plan
from infrastructure.batching.gathering import Gathering
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.books import read_books
from infrastructure.sql.engine.funds import to_funds
from infrastructure.sql.engine.ledger import used_within
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.terms import agreed_in, to_billing

_READ: Final = HotStatement(
    """
    SELECT 'customer' AS kind, wanted.n, c.plan_key, c.plan_version, c.billing_anchor, c.billing_interval, c.time_zone,
        c.billing_interval_count, c.week_starts_on, CAST(c.agreement AS text) AS agreement,
        CAST(NULL AS text) AS feature, CAST(NULL AS bigint) AS quantity,
        CAST(NULL AS timestamptz) AS period_start, CAST(NULL AS timestamptz) AS period_end, CAST(NULL AS text) AS funds, c.updated_at
    FROM unnest(CAST(:customer_ids AS text[])) WITH ORDINALITY AS wanted (customer_id, n)
    CROSS JOIN LATERAL (SELECT * FROM customer AS c WHERE c.customer_id = wanted.customer_id LIMIT 1) AS c
    UNION ALL
    SELECT 'counter', wanted.n, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, c.feature, c.used, c.period_start, c.period_end,
        CAST(c.funds AS text), NULL
    FROM unnest(CAST(:customer_ids AS text[])) WITH ORDINALITY AS wanted (customer_id, n)
    CROSS JOIN LATERAL (SELECT * FROM usage_counter AS c WHERE c.customer_id = wanted.customer_id OFFSET 0) AS c
    UNION ALL
    SELECT 'hold', wanted.n, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, h.feature, h.quantity, NULL, h.held_until, NULL, NULL
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:instants AS timestamptz[])) WITH ORDINALITY AS wanted (customer_id, instant, n)
    CROSS JOIN LATERAL (
        SELECT h.feature, CAST(sum(h.quantity) AS bigint) AS quantity, max(h.expires_at) AS held_until
        FROM usage_hold AS h WHERE h.customer_id = wanted.customer_id AND h.expires_at > wanted.instant
        GROUP BY h.feature
    ) AS h
    """
)


class AccountQuery(NamedTuple):
    """Which account, with which features (None: all that its plan meters), at which moment."""

    customer_id: str
    features: Collection[str] | None
    at: datetime


@dataclass(slots=True)
class _Found:
    """The rows of one customer."""

    customer: Record | None = None
    counters: dict[str, Counter] = field(default_factory=dict)
    funds: dict[str, str] = field(default_factory=dict)
    held: dict[str, tuple[int, datetime]] = field(default_factory=dict)


class SqlAccountReader(AccountReader):
    """One round trip for everyone who asks at the same time.

    A second one follows only for counters that sum another period than the one that is asked about.
    """

    def __init__(self, connections: Connections, catalog: PlanCatalog, new_id: Callable[[], UUID]) -> None:
        self._connections = connections
        self._catalog = catalog
        self._new_id = new_id
        self._gathering: Gathering[AccountQuery, Account | CustomerNotFound] = Gathering(self._read_all)

    async def read(self, customer_id: str, features: Collection[str] | None, at: datetime) -> Account:
        found = await self._gathering.ask(AccountQuery(customer_id, features, at))
        if isinstance(found, CustomerNotFound):
            raise CustomerNotFound(customer_id)
        return found

    async def _read_all(self, queries: Sequence[AccountQuery]) -> Sequence[Account | CustomerNotFound]:
        async def read(driver: Driver) -> tuple[list[_Draft | None], Mapping[Counted, int]]:
            found = await self._rows(driver, queries)
            customers = [found[_moment(query)].customer for query in queries]
            agreed = [None if row is None else agreed_in(row, query.at) for row, query in zip(customers, queries, strict=True)]
            plans = await self._catalog.plans_of(driver, [terms for terms in agreed if terms])
            drafts = [
                await self._draft(driver, query, found[_moment(query)], terms and plans[terms])
                for query, terms in zip(queries, agreed, strict=True)
            ]
            stale = dict.fromkeys(key for draft in drafts if draft for key in draft.stale)
            return drafts, await used_within(driver, list(stale))

        drafts, summed = await self._connections.ask(read)
        return [
            CustomerNotFound(query.customer_id) if draft is None else draft.account(summed)
            for query, draft in zip(queries, drafts, strict=True)
        ]

    async def _rows(self, driver: Driver, queries: Sequence[AccountQuery]) -> dict[tuple[str, datetime], _Found]:
        """By customer and second: who asks about the same customer in the same second gets the same holds."""
        moments = {_moment(query): query.at for query in queries}
        parameters = {"customer_ids": [customer_id for customer_id, _ in moments], "instants": list(moments.values())}
        found = [_Found() for _ in moments]
        for row in await _READ.fetch(driver, parameters):
            item = found[row["n"] - 1]
            match row["kind"]:
                case "customer":
                    item.customer = row
                case "counter":
                    item.counters[row["feature"]] = Counter(row["quantity"], row["period_start"], row["period_end"])
                    if row["funds"] is not None:
                        item.funds[row["feature"]] = row["funds"]
                case _:
                    item.held[row["feature"]] = row["quantity"], row["period_end"]
        return dict(zip(moments, found, strict=True))

    async def _draft(self, driver: Driver, query: AccountQuery, found: _Found, plan: Plan | None) -> "_Draft | None":
        if found.customer is None or plan is None:
            return None
        billing = to_billing(found.customer)
        features = query.features
        if features is None:
            features = [key for key, entitlement in plan.entitlements.items() if isinstance(entitlement, Metered)]
        catalog = await self._catalog.learn_features(driver, features) if features else self._catalog.features
        states: dict[Meter, CounterState] = {}
        stale: list[Counted] = []
        opened: dict[str, Opened] = {}
        agreed_at = found.customer["updated_at"]
        for feature in features:
            period = wanted_period(plan, billing, feature, query.at) if catalog.get(feature) else None
            if period is None:
                continue
            meter, counter = Meter(query.customer_id, feature), found.counters.get(feature, NEVER_COUNTED)
            entitlement, stored = countable(plan, feature), to_funds(found.funds.get(feature))
            shown = counter.shows(period)
            if shown is None:
                stale.append((meter, period))
            state = CounterState(shown or 0, *found.held.get(feature, (0, None)))
            if stored is not None and stored.hold(counter, period, entitlement, agreed_at, query.at):
                state = state._replace(funds=stored.funds)
            elif stored is not None or rolls_over(entitlement, period):
                since = books_since(stored, counter, period)
                opened[feature] = await read_books(
                    driver,
                    self._catalog,
                    meter,
                    since=since,
                    now=query.at,
                    agreed_at=agreed_at,
                    looked_at=stored and stored.funds and stored.funds.since,
                    new_id=self._new_id,
                )
            states[meter] = state
        return _Draft(query, plan, billing, states, stale, opened, catalog, self._new_id)


class _Draft(NamedTuple):
    """An account that lacks the sums of its stale counters."""

    query: AccountQuery
    plan: Plan
    billing: Billing
    states: Mapping[Meter, CounterState]
    stale: Sequence[Counted]
    opened: Mapping[str, Opened]
    catalog: FeatureCatalog
    new_id: Callable[[], UUID]

    def account(self, summed: Mapping[Counted, int]) -> Account:
        states = {**self.states, **{key[0]: self.states[key[0]]._replace(used=summed[key]) for key in self.stale}}
        query, journal = self.query, Journal()
        account = Account(
            query.customer_id,
            self.plan,
            self.billing,
            states,
            now=query.at,
            catalog=self.catalog,
            new_id=self.new_id,
            journal=journal,
            reservations=NoReservations(journal),
            corrected=NoRecords(journal),
            grants=NoGrants(journal),
        )
        for feature, opened in self.opened.items():
            account.open_books(feature, opened)
        return account


def _moment(query: AccountQuery) -> tuple[str, datetime]:
    return query.customer_id, query.at.replace(microsecond=0)
