"""Where customers stood when this process last saw them, for decisions while the database is away."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.counters import CounterState, wanted_period
from core.metering.entitlements import countable
from core.metering.funds import Funds
from core.metering.grants import NoGrants
from core.metering.journal import Journal
from core.metering.meters import Meter
from core.metering.records import NoRecords
from core.metering.reservations import TTL_MAX, NoReservations
from core.outage.admitted import AdmittedUsage
from core.plans.features import FeatureCatalog
from core.plans.periods import Billing, Period
from core.plans.plan import Metered, Plan

CUSTOMERS_MAX: Final = 50_000
"""Beyond that, the customer that was not seen for the longest time is forgotten."""


class _Seen:
    """One customer, and the balances of the features that anything was decided about."""

    __slots__ = ("at", "balances", "billing", "plan")

    def __init__(self) -> None:
        self.balances: dict[str, Balance] = {}
        self.plan: Plan
        self.billing: Billing
        self.at: datetime


class LastKnown:
    """Balances as the last transactions left them, and beside them what was admitted since and is not booked yet.

    Nothing is kept while no feature admits: `is_kept`.
    """

    def __init__(self, customers_max: int = CUSTOMERS_MAX) -> None:
        self.is_kept = False
        self._customers_max = customers_max
        self._seen: dict[str, _Seen] = {}  # in the order in which they were last seen
        self._admitted: dict[Meter, dict[Period, int]] = {}

    def learn(self, accounts: Iterable[Account]) -> None:
        """What a committed transaction knows of its customers."""
        for account in accounts:
            seen = self._seen.pop(account.customer_id, None) or _Seen()
            seen.plan, seen.billing, seen.at = account.plan, account.billing, account.now
            for balance in account.touched():
                seen.balances[balance.feature.key] = balance
            self._seen[account.customer_id] = seen
        while len(self._seen) > self._customers_max:
            del self._seen[next(iter(self._seen))]

    def forget(self) -> None:
        """All of it, where nobody needs it any more."""
        self._seen.clear()

    def account(
        self, customer_id: str, features: Iterable[str], at: datetime, catalog: FeatureCatalog, new_id: Callable[[], UUID]
    ) -> Account | None:
        """The customer as far as it is known: its last balances with what was admitted since. None where it was never seen.

        A balance whose period has ended counts from zero. So does a feature of the customer's plan that nothing was decided about yet.
        Holds count for as long as any can last.
        """
        seen = self._seen.get(customer_id)
        if seen is None or any(catalog.get(feature) is None for feature in features):
            return None
        counters: dict[Meter, CounterState] = {}
        for feature in features:
            meter, period = Meter(customer_id, feature), wanted_period(seen.plan, seen.billing, feature, at)
            if period is None:
                continue
            last = seen.balances.get(feature)
            used = last.used if last and last.period == period else 0
            held = last.held if last and at - seen.at < TTL_MAX else 0
            admitted = self._admitted.get(meter, {}).get(period, 0)
            funds = last and _funds(last, countable(seen.plan, feature), period, at, admitted)
            counters[meter] = CounterState(used + admitted, held, last and last.held_until, funds)
        journal = Journal()
        return Account(
            customer_id,
            seen.plan,
            seen.billing,
            counters,
            now=at,
            catalog=catalog,
            new_id=new_id,
            journal=journal,
            reservations=NoReservations(journal),
            corrected=NoRecords(journal),
            grants=NoGrants(journal),
        )

    def count(self, admitted: AdmittedUsage, account: Account) -> None:
        """It was admitted on this account, and is to be counted until it is booked."""
        for _, usage in admitted.records:
            period = account.balance_at(usage.feature, admitted.occurred_at).period
            sums = self._admitted.setdefault(Meter(admitted.customer_id, usage.feature), {})
            sums[period] = sums.get(period, 0) + usage.quantity

    def settle(self, admitted: AdmittedUsage) -> None:
        """It was booked, so that the next balance that is learned has it; or it will never be."""
        for _, usage in admitted.records:
            meter = Meter(admitted.customer_id, usage.feature)
            sums = self._admitted.get(meter, {})
            period = next((period for period in sums if admitted.occurred_at in period), None)
            if period is None:
                continue
            sums[period] -= usage.quantity
            if sums[period] <= 0:
                del sums[period]
            if not sums:
                del self._admitted[meter]


def _funds(last: Balance, entitlement: Metered, period: Period, at: datetime, admitted: int) -> Funds | None:
    """What grants had left, with what was admitted since taken from it."""
    funds = last.funds
    if funds is None:
        return None
    if last.period != period:
        funds = funds.renewed(entitlement.limit, period, at)
    return funds.outliving(at)._replace(since=period.start, until=period.end).burn(admitted)
