"""The account: a customer seen through its plan, with the usage of the features that a decision is about."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from core.errors import NotFoundError
from core.metering.balance import Amount, Balance, FeatureNotInPlan, LimitExceeded, Usage
from core.metering.entitlements import metered_entitlement
from core.metering.journal import Journal
from core.metering.ledger import InvalidOccurredAt, Origin, UsageRecord
from core.metering.meters import Meter
from core.metering.repository import Repository
from core.metering.reservations import Reservation, ReservationKey, ReservationState
from core.plans.features import Feature, FeatureCatalog, InvalidQuantity
from core.plans.periods import Billing
from core.plans.plan import Enforcement, Plan

BACKDATING_MAX: Final = timedelta(days=35)
CLOCK_SKEW_MAX: Final = timedelta(minutes=5)
USED_PARTS_MAX: Final = 4_000_000_000_000_000_000


class CustomerNotFound(NotFoundError):
    """No customer has this id, or none that the caller may see."""

    noun = "customer"


class CounterState(NamedTuple):
    """What is stored of a locked feature: usage within its current period, and what unexpired holds set aside."""

    used: int
    held: int


class Account:
    """Decides and books usage of one customer's locked features. Pure: it collects what is to be written.

    All of its methods either do everything or raise and change nothing. What they did is taken back by the unit of work's journal.
    """

    __slots__ = (
        "_balances",
        "_catalog",
        "_counters",
        "_journal",
        "_reservations",
        "billing",
        "customer_id",
        "new_id",
        "now",
        "plan",
        "records",
    )

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
        reservations: Repository[ReservationKey, Reservation],
    ) -> None:
        self.customer_id = customer_id
        self.plan = plan
        self.billing = billing
        self.now = now
        self.new_id = new_id
        self.records: list[UsageRecord] = []
        self._counters = counters
        self._catalog = catalog
        self._journal = journal
        self._reservations = reservations
        self._balances: dict[Meter, Balance] = {}

    def balance(self, key: str) -> Balance:
        """Where the feature stands, with all that was booked through this account.

        A feature that the plan does not have stands at a limit of zero. Raises FeatureNotMetered, and FeatureNotInPlan for a feature
        that was never declared or that the plan switches off.
        """
        meter = Meter(self.customer_id, key)
        balance = self._balances.get(meter)
        if balance is None:
            feature = self._catalog.get(key)
            entitlement = metered_entitlement(self.plan, key)
            if feature is None:
                raise FeatureNotInPlan(self.plan.key, key, declared=False)
            counter = self._counters[meter]
            period = self.billing.period(entitlement.reset, self.now)
            hard = entitlement.enforcement is Enforcement.HARD
            balance = Balance(feature, entitlement.limit, hard, period, counter.used, counter.held)
            self._balances[meter] = balance
        return balance

    def knows(self, feature: str) -> bool:
        """Whether usage of the feature is counted for this account, so that it has a balance."""
        return Meter(self.customer_id, feature) in self._counters

    def balances(self, features: Iterable[str]) -> dict[str, Balance]:
        return {feature: self.balance(feature) for feature in features}

    def require(self, feature: str, quantity: int) -> None:
        """Raises LimitExceeded or FeatureNotInPlan where this much could not be booked now."""
        self._require_in_plan(feature)
        balance = self.balance(feature)
        if not balance.admits(quantity):
            raise LimitExceeded(self.plan.key, balance, quantity, self.now)
        _require_capacity(balance.feature, balance.used + balance.held, quantity)

    def require_all(self, usage: Iterable[Usage]) -> None:
        """As `require`, for several features together; the same one may come up more than once."""
        wanted: dict[str, int] = {}
        for item in usage:
            wanted[item.feature] = wanted.get(item.feature, 0) + item.quantity
        for feature, quantity in wanted.items():
            self.require(feature, quantity)

    def require_remaining(self, feature: str) -> None:
        """Raises where not even the smallest part of the feature is left."""
        self._require_in_plan(feature)
        balance = self.balance(feature)
        if not balance.admits(1):
            raise LimitExceeded(self.plan.key, balance, 0, self.now)

    def consume(self, feature: str, quantity: int, origin: Origin, dimension: str | None = None) -> UsageRecord:
        """Admission: books the usage now, or raises LimitExceeded or FeatureNotInPlan."""
        self.require(feature, quantity)
        return self._book(feature, quantity, self.now, origin, dimension=dimension)

    def consume_all(self, usage: Sequence[Usage], origin: Origin) -> list[UsageRecord]:
        """Admission of several features: all are booked, or the one that does not fit is raised and none is."""
        self.require_all(usage)
        return [self._book(item.feature, item.quantity, self.now, origin, dimension=item.dimension) for item in usage]

    def record(
        self,
        feature: str,
        quantity: int,
        origin: Origin,
        *,
        occurred_at: datetime | None = None,
        event_id: str | None = None,
        dimension: str | None = None,
    ) -> UsageRecord:
        """Books work that is already done, as overage if need be; it counts in the period in which it occurred.

        Raises InvalidOccurredAt where that is over 35 days ago or over 5 minutes ahead; never refuses for a limit.
        """
        if occurred_at is None:
            occurred_at = self.now
        else:
            earliest, latest = self.now - BACKDATING_MAX, self.now + CLOCK_SKEW_MAX
            if not earliest <= occurred_at <= latest:
                raise InvalidOccurredAt(occurred_at, earliest, latest)
        return self._book(feature, quantity, occurred_at, origin, event_id, dimension=dimension)

    def correct(self, record: UsageRecord, corrected_total: int, quantity: int, reason: str, origin: Origin) -> UsageRecord:
        """Books a compensating record beside the one that was wrong, in that one's period.

        `corrected_total` is the record's quantity with all corrections so far. Raises InvalidQuantity where that, or the period's
        usage, would fall below zero.
        """
        balance = self.balance(record.feature)
        if corrected_total + quantity < 0:
            left = balance.feature.units(corrected_total)
            raise InvalidQuantity(record.feature, f"the record stands at {left:f} {balance.feature.unit} and cannot go below zero")
        if record.occurred_at in balance.period and balance.used + quantity < 0:
            raise InvalidQuantity(record.feature, "the period's usage cannot go below zero")
        return self._book(
            record.feature, quantity, record.occurred_at, origin, corrects=record.id, reason=reason, dimension=record.dimension
        )

    def rebook(
        self, feature: str, quantity: int, occurred_at: datetime, reason: str, origin: Origin, dimension: str | None = None
    ) -> UsageRecord:
        """Books what the ledger lacks of work that was done, however long ago; negative where it has too much."""
        return self._book(feature, quantity, occurred_at, origin, reason=reason, dimension=dimension)

    def hold(self, usage: Mapping[str, int], ttl: timedelta, reference: str | None = None) -> Reservation:
        """Sets usage aside for a time, by feature in smallest parts: all of it, or raises as `consume_all` does."""
        reservation = Reservation(
            id=self.new_id(),
            customer_id=self.customer_id,
            usage=usage,
            held=usage,
            created_at=self.now,
            expires_at=self.now + ttl,
            reference=reference,
        )
        self.reserve(reservation)
        return reservation

    def reserve(self, reservation: Reservation) -> None:
        """Sets the reservation's usage aside, all of it, or raises as `consume_all` does."""
        for feature, quantity in reservation.held.items():
            self.require(feature, quantity)
        for feature, quantity in reservation.held.items():
            self._put(feature, self.balance(feature).plus(0, quantity))
        self._reservations.save(reservation)

    def reservation(self, id: UUID | None) -> Reservation | None:
        """The customer's own reservation, as it stands by now; None where there is none, or no id. It has to be loaded before."""
        return None if id is None else self._reservations.get(ReservationKey(self.customer_id, id))

    def settle(self, before: Reservation, after: Reservation) -> None:
        """Puts a reservation's next state in place of its last one, and gives back what it no longer holds."""
        for feature in before.held:
            change = after.held_at(feature, self.now) - before.held_at(feature, self.now)
            if change:
                self._put(feature, self.balance(feature).plus(0, change))
        self._reservations.save(after)

    def draw(self, hold: Reservation, usage: Iterable[Usage]) -> Reservation:
        """After work that was booked: uses up what was set aside for it, as far as that goes. An ended or expired hold stays as it is."""
        if hold.state_at(self.now) is not ReservationState.HELD:
            return hold
        drawn = hold
        for item in usage:
            drawn = drawn.drawn(item.feature, item.quantity)
        self.settle(hold, drawn)
        return drawn

    def usage(self, amounts: Iterable[Amount]) -> list[Usage]:
        """What a caller asks for, at least one smallest part of each. Raises InvalidQuantity, FeatureNotMetered or FeatureNotInPlan."""
        return [Usage(item.feature, self.balance(item.feature).feature.positive_parts(item.quantity), item.dimension) for item in amounts]

    def work(self, amounts: Iterable[Amount]) -> list[Usage]:
        """As `usage`, for work that is done: it may have used nothing, or less than a smallest part. Only a negative amount is none."""
        return [Usage(item.feature, self.balance(item.feature).feature.parts_of_work(item.quantity), item.dimension) for item in amounts]

    def touched(self) -> Iterable[Balance]:
        """The balances that decisions looked at, as they now stand."""
        return self._balances.values()

    def _put(self, feature: str, balance: Balance) -> None:
        self._journal.put(self._balances, Meter(self.customer_id, feature), balance)

    def _require_in_plan(self, feature: str) -> None:
        if feature not in self.plan.entitlements:
            raise FeatureNotInPlan(self.plan.key, feature, declared=self._catalog.get(feature) is not None)

    def _book(
        self,
        feature: str,
        quantity: int,
        occurred_at: datetime,
        origin: Origin,
        event_id: str | None = None,
        corrects: UUID | None = None,
        reason: str | None = None,
        dimension: str | None = None,
    ) -> UsageRecord:
        before = self.balance(feature)
        _require_capacity(before.feature, before.used, quantity)
        overage = 0
        if occurred_at in before.period:
            after = before.plus(quantity)
            overage = after.overage - before.overage
            self._put(feature, after)
        record = UsageRecord(
            self.new_id(),
            self.customer_id,
            feature,
            quantity,
            occurred_at,
            self.now,
            origin,
            overage,
            corrects,
            reason,
            event_id,
            dimension,
        )
        self._journal.add(self.records, record)
        return record


def _require_capacity(feature: Feature, counted: int, quantity: int) -> None:
    if quantity > 0 and counted + quantity > USED_PARTS_MAX:
        raise InvalidQuantity(feature.key, "the period's total would be too large")
