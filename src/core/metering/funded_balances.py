"""Balances of a customer that has more than its plan's allowance: what usage takes from grants is posted beside it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from core.metering.balance import Balance, FeatureNotInPlan
from core.metering.bookkeeping import Bookkeeping, BooksNotLoaded, Settled
from core.metering.books import Opened, Replayed
from core.metering.counters import CounterState
from core.metering.funds import Funds
from core.metering.grants import EntryKind, Grant, GrantEntry, GrantKey, GrantKind, Grants, StandingGrant
from core.metering.journal import Journal
from core.metering.ledger import UsageRecord
from core.metering.meters import Meter
from core.metering.watched_balances import WatchedBalances
from core.plans.features import FeatureCatalog
from core.plans.periods import Billing
from core.plans.plan import Plan


class FundedBalances(WatchedBalances):
    """What was booked, and which grants paid for it. Grants, and what they paid, are collected to be written, as records are."""

    __slots__ = ("_books", "_grants", "depleted", "entries", "lapsed", "records")

    def __init__(
        self,
        customer_id: str,
        plan: Plan,
        billing: Billing,
        counters: Mapping[Meter, CounterState],
        *,
        now: datetime,
        catalog: FeatureCatalog,
        new_id: Callable[[], UUID],
        journal: Journal,
        grants: Grants,
    ) -> None:
        super().__init__(customer_id, plan, billing, counters, now=now, catalog=catalog, new_id=new_id, journal=journal)
        self.records: list[UsageRecord] = []
        self.entries: list[GrantEntry] = []
        self.depleted: list[GrantKey] = []  # grants of which nothing is left any more
        self.lapsed: dict[UUID, int] = {}  # by record, what it gave back to grants that had ended
        self._grants = grants
        self._books: dict[str, Bookkeeping] = {}  # by feature

    def open_books(self, feature: str, opened: Opened) -> None:
        """Learns a feature's books, as they are stored, and brings the entries up to what follows from them."""
        meter = Meter(self.customer_id, feature)
        opened = opened.after(entry for entry in self.entries if entry.feature == feature)
        books = self._books[feature] = Bookkeeping(meter, opened, self.new_id, self._journal, self._grants)
        for record in self.records:
            if record.feature == feature:
                books.count(record)
        for entry in self.entries:
            if entry.feature == feature:
                books.note(entry)
        self._settle(books, self.balance(feature).used)
        self._level(feature, self.balance(feature))

    def forgo_books(self, feature: str) -> None:
        """Where nobody can read them: from now on the feature stands at its limit as it is, and nothing is taken from grants."""
        self._put(feature, self.balance(feature)._replace(funds=None))

    def grant(self, grant: Grant) -> None:
        """Puts the grant on top of the allowance: it first covers what nothing covered. Raises FeatureNotInPlan."""
        self._require_in_plan(grant.feature)
        books = self._books_since(grant.feature, min(grant.effective_at, self.now), (grant.effective_at, grant.ends_at))
        self._put_grant(books, grant)

    def void(self, grant: Grant, voided_by: str, reason: str) -> Grant:
        """The grant as it is voided now: what is left of it is gone, what was burnt stays burnt."""
        books = self._books_since(grant.feature, self.now)
        voided = replace(grant, voided_at=books.books.now, voided_by=voided_by, void_reason=reason)
        books = self._books_since(grant.feature, self.now, (voided.ends_at,))
        self._put_grant(books, voided)
        return voided

    def standing_of(self, grant: Grant) -> StandingGrant:
        """The grant with what is burnt and what is left of it. Raises BooksNotLoaded where its books do not reach back to it."""
        books = self._books.get(grant.feature)
        if books is None or not books.knows(grant) or grant.kind is GrantKind.ROLLOVER:
            books = self._books_since(grant.feature, min(grant.effective_at, self.now))
        left = books.left_of(grant)
        burnt = books.burnt_of(grant) if grant.kind is GrantKind.ROLLOVER else grant.quantity - left
        return StandingGrant(grant, burnt, left)

    def _put_grant(self, books: Bookkeeping, grant: Grant) -> None:
        books.put(grant)
        self._grants.save(grant)
        self._settle(books, self.balance(grant.feature).used)
        self._level(grant.feature, self.balance(grant.feature))

    def _settle(self, books: Bookkeeping, used: int, before: Replayed | None = None, record: UsageRecord | None = None) -> Settled:
        """Posts what the facts say and the entries do not. `used` is the feature's usage by now."""
        settled, entries = books.settle(before, record)
        for entry in entries:
            self._journal.add(self.entries, entry)
            if entry.kind is EntryKind.BURN and books.left_of_id(entry.grant_id) == 0:
                self._journal.add(self.depleted, GrantKey(self.customer_id, entry.grant_id))
        feature = books.meter.feature
        self._put(feature, self.balance(feature).standing(used, settled.funds))
        return settled

    def _books_since(self, feature: str, instant: datetime, instants: Iterable[datetime] = ()) -> Bookkeeping:
        """The feature's books, from the period that contains the instant on. Raises BooksNotLoaded."""
        instants = tuple(instants)
        books = self._books.get(feature)
        if books is None or not books.reaches(instant) or not books.is_cut_at(instants):
            raise BooksNotLoaded(Meter(self.customer_id, feature), instant, instants)
        return books

    def _require_in_plan(self, feature: str) -> None:
        if feature not in self.plan.entitlements:
            raise FeatureNotInPlan(self.plan.key, feature, declared=self._catalog.get(feature) is not None)

    def _count(self, record: UsageRecord, funds: Funds, after: Balance) -> None:
        """Usage in the order of time: it takes from what is there, and nothing that was posted changes."""
        assert after.funds is not None, "it was there before"
        books = self._books.get(record.feature)
        if books is not None:
            books.count(record)
        for burn in funds.burns(after.funds) if after.funds.burnt != funds.burnt else ():
            entry = GrantEntry(
                self.new_id(),
                self.customer_id,
                burn.grant,
                record.feature,
                EntryKind.BURN,
                burn.quantity,
                record.occurred_at,
                after.period,
                record.id,
                self.now,
            )
            self._journal.add(self.entries, entry)
            if burn.left == 0:
                self._journal.add(self.depleted, GrantKey(self.customer_id, burn.grant))
            if books is not None:
                books.note(entry)

    def _rebalance(self, record: UsageRecord) -> Settled:
        """Usage out of the order of time: what follows from it is replayed, and the differences are posted."""
        books = self._books_since(record.feature, record.occurred_at)
        before = books.replayed()
        books.count(record)
        settled = self._settle(books, self.balance(record.feature).used, before, record)
        if settled.lapsed:
            self._journal.put(self.lapsed, record.id, settled.lapsed)
        return settled
