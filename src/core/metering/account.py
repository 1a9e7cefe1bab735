"""The account: a customer seen through its plan, with the usage of the features that a decision is about."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from core.errors import DomainError, NotFoundError
from core.metering.balance import Amount, LimitExceeded, Usage
from core.metering.counters import CounterState
from core.metering.funded_balances import FundedBalances
from core.metering.grants import Grants
from core.metering.journal import Journal
from core.metering.ledger import CorrectedRecord, InvalidOccurredAt, Origin, RecordKey, UsageRecord
from core.metering.meters import Meter
from core.metering.repository import Repository
from core.metering.reservations import Reservation, ReservationKey, ReservationState
from core.plans.features import Feature, FeatureCatalog, InvalidQuantity
from core.plans.periods import Billing
from core.plans.plan import Plan

BACKDATING_MAX: Final = timedelta(days=35)
CLOCK_SKEW_MAX: Final = timedelta(minutes=5)
USED_PARTS_MAX: Final = 4_000_000_000_000_000_000


class CustomerNotFound(NotFoundError):
    """No customer has this id, or none that the caller may see."""

    noun = "customer"


class NotYetACustomer(DomainError):
    """Nothing was agreed with the customer by then, or nobody knew of it."""

    def __init__(self, at: datetime) -> None:
        super().__init__(at)
        self.at = at
        self.message = "The customer had no plan at that instant, as far as was known: name a later one."

    def facts(self) -> Mapping[str, object]:
        return {"at": self.at}


class Account(FundedBalances):
    """Decides and books usage of one customer's locked features. Pure: it collects what is to be written.

    All of its methods either do everything or raise and change nothing. What they did is taken back by the unit of work's journal.
    """

    __slots__ = ("_corrected", "_reservations")

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
        corrected: Repository[RecordKey, CorrectedRecord],
        grants: Grants,
    ) -> None:
        super().__init__(customer_id, plan, billing, counters, now=now, catalog=catalog, new_id=new_id, journal=journal, grants=grants)
        self._reservations = reservations
        self._corrected = corrected

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

    def book(self, id: UUID, usage: Usage, origin: Origin, occurred_at: datetime) -> UsageRecord:
        """Books what was admitted or recorded before and is known by its id already, as overage if need be, however late it is by now."""
        return self._book(usage.feature, usage.quantity, occurred_at, origin, dimension=usage.dimension, id=id)

    def correct(self, known: CorrectedRecord, quantity: int, reason: str, origin: Origin) -> UsageRecord:
        """Books a compensating record beside the one that was wrong, in that one's period.

        Raises InvalidQuantity where the record's corrected total, or its period's usage, would fall below zero.
        """
        balance = self.balance_at(known.record.feature, known.record.occurred_at)
        if known.total + quantity < 0:
            left = balance.feature.amount(known.total)
            raise InvalidQuantity(balance.feature.key, f"the record stands at {left} and cannot go below zero")
        if balance.used + quantity < 0:
            raise InvalidQuantity(balance.feature.key, "the period's usage cannot go below zero")
        return self._correct(known, quantity, reason, origin)

    def give_back(self, known: CorrectedRecord, quantity: int, reason: str, origin: Origin) -> int:
        """Takes so much of a record back by a compensating one, and says how much that was.

        It is at most what is left of the record, and of its period's usage: nothing is given back twice, whoever gives it back.
        """
        used = self.balance_at(known.record.feature, known.record.occurred_at).used
        given = max(min(quantity, known.total, used), 0)
        if given:
            self._correct(known, -given, reason, origin)
        return given

    def rebook(
        self, feature: str, quantity: int, occurred_at: datetime, reason: str, origin: Origin, dimension: str | None = None
    ) -> UsageRecord | None:
        """Books what the ledger lacks of work that was done, however long ago.

        A negative quantity takes back what it has too much, at most all of the period's usage; None where there is none.
        """
        quantity = max(quantity, -self.balance_at(feature, occurred_at).used)
        return self._book(feature, quantity, occurred_at, origin, reason=reason, dimension=dimension) if quantity else None

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
        """Sets the reservation's usage aside, all of it, or raises as `consume_all` does.

        Only against what outlives it: a commit in time is never overage because a grant expired in between.
        """
        until = reservation.expires_at
        for feature, quantity in reservation.held.items():
            self.require(feature, quantity)
            self._require_to_last(feature, quantity, until)
        for feature, quantity in reservation.held.items():
            self._put(feature, self.balance(feature).holding(quantity, until))
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

    def extend(self, before: Reservation, after: Reservation) -> None:
        """As `settle`, where the hold ends later. Raises LimitExceeded where what it holds would not last until then."""
        for feature in before.held:
            self._require_to_last(feature, 0, after.expires_at)
        for feature in before.held:
            self._put(feature, self.balance(feature).holding(0, after.expires_at))
        self.settle(before, after)

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
        return [Usage(feature, self.parts_of_work(feature, quantity), dimension) for feature, quantity, dimension in amounts]

    def parts_of_work(self, feature: str, quantity: Decimal) -> int:
        """One of those amounts, in smallest parts."""
        return self.balance(feature).feature.parts_of_work(quantity)

    def _require_to_last(self, feature: str, quantity: int, until: datetime) -> None:
        balance = self.balance(feature)
        if balance.funds is not None and balance.hard and balance.limit is not None:
            until = max(until, balance.held_until or until)
            if not balance.funds.outliving(until).covers(balance.held + quantity):
                raise LimitExceeded(self.plan.key, balance.outliving(until), quantity, self.now)

    def _correct(self, known: CorrectedRecord, quantity: int, reason: str, origin: Origin) -> UsageRecord:
        record = known.record
        correction = self._book(
            record.feature, quantity, record.occurred_at, origin, corrects=record.id, reason=reason, dimension=record.dimension
        )
        self._corrected.save(CorrectedRecord(record, known.total + quantity))
        return correction

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
        id: UUID | None = None,
    ) -> UsageRecord:
        before = self.balance(feature)
        funds = before.funds
        current = occurred_at in before.period
        if not current:
            before = self.balance_at(feature, occurred_at)
        _require_capacity(before.feature, before.used, quantity)
        record = UsageRecord(
            id or self.new_id(),
            self.customer_id,
            feature,
            quantity,
            occurred_at,
            self.now,
            origin,
            0,
            corrects,
            reason,
            event_id,
            dimension,
        )
        if funds is None or occurred_at >= self.balance(feature).period.end:
            after = before.plus(quantity)
            overage = after.overage - before.overage
        elif current and quantity >= 0 and funds.since <= occurred_at < funds.until:
            after = before.plus(quantity)
            overage = after.overage - before.overage
            self._count(record, funds, after)
        else:
            overage = self._rebalance(record).overage
            after = self.balance(feature)._replace(used=before.used + quantity) if current else before.plus(quantity)
        if overage:
            record = record._replace(overage=overage)
        if current:
            self._put(feature, after)
            self._level(feature, after)
            if overage > 0:
                self._raise_overage(feature, after, record)
        else:
            self._journal.put(self._others, (feature, after.period), after)
        self._journal.add(self.records, record)
        return record


def _require_capacity(feature: Feature, counted: int, quantity: int) -> None:
    if quantity > 0 and counted + quantity > USED_PARTS_MAX:
        raise InvalidQuantity(feature.key, "the period's total would be too large")
