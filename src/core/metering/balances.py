"""Where a customer's metered features stand: in the periods that contain now, and in others as far as a decision is about them."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from core.errors import DomainError
from core.metering.balance import Balance, FeatureNotInPlan
from core.metering.counters import CounterState, PeriodNotLoaded
from core.metering.entitlements import metered_entitlement
from core.metering.journal import Journal
from core.metering.meters import Meter
from core.plans.features import FeatureCatalog
from core.plans.periods import Billing, Period
from core.plans.plan import Enforcement, Plan


class Balances:
    """A customer's balances under its plan as it is now. What is put here is taken back by the unit of work's journal."""

    __slots__ = ("_balances", "_catalog", "_counters", "_journal", "_others", "billing", "customer_id", "now", "plan")

    def __init__(
        self,
        customer_id: str,
        plan: Plan,
        billing: Billing,
        counters: Mapping[Meter, CounterState],
        *,
        now: datetime,
        catalog: FeatureCatalog,
        journal: Journal,
    ) -> None:
        self.customer_id = customer_id
        self.plan = plan
        self.billing = billing
        self.now = now
        self._counters = counters
        self._catalog = catalog
        self._journal = journal
        self._balances: dict[str, Balance] = {}  # of this customer's meters, by feature
        self._others: dict[tuple[str, Period], Balance] = {}  # by feature and period

    def balance(self, key: str) -> Balance:
        """Where the feature stands, with all that was booked through this account.

        A feature that the plan does not have stands at a limit of zero. Raises FeatureNotMetered, and FeatureNotInPlan for a feature
        that was never declared or that the plan switches off.
        """
        balance = self._balances.get(key)
        if balance is None:
            feature = self._catalog.get(key)
            entitlement = metered_entitlement(self.plan, key)
            if feature is None:
                raise FeatureNotInPlan(self.plan.key, key, declared=False)
            counter = self._counters[Meter(self.customer_id, key)]
            period = self.billing.period(entitlement.reset, self.now)
            hard = entitlement.enforcement is Enforcement.HARD
            balance = Balance(feature, entitlement.limit, hard, period, counter.used, counter.held, None, counter.held_until)
            if counter.funds is not None:
                balance = balance.standing(counter.used, counter.funds)
            self._balances[key] = balance
        return balance

    def balance_at(self, key: str, at: datetime) -> Balance:
        """Where the feature stands in the period that contains the instant, held against the limit as it is now.

        Raises as `balance` does, and PeriodNotLoaded where that is not the current period and its usage has not been read.
        """
        current = self.balance(key)
        if at in current.period:
            return current
        try:
            return self._others[key, self._period(key, at)]
        except KeyError:
            raise PeriodNotLoaded(Meter(self.customer_id, key), at) from None

    def unknown_period(self, key: str, at: datetime) -> Period | None:
        """The period that contains the instant, where `balance_at` would raise PeriodNotLoaded."""
        try:
            self.balance_at(key, at)
        except PeriodNotLoaded:
            return self._period(key, at)
        except DomainError:
            pass
        return None

    def learn(self, key: str, period: Period, used: int) -> None:
        """What was used of the feature in a period other than the current one. No hold counts there."""
        limit = metered_entitlement(self.plan, key).limit
        self._others[key, period] = self.balance(key)._replace(period=period, used=used, held=0, limit=limit, funds=None, held_until=None)

    def see(self, balance: Balance) -> None:
        """Takes the feature to stand as somebody else saw it."""
        self._put(balance.feature.key, balance)

    def knows(self, feature: str) -> bool:
        """Whether usage of the feature is counted for this account, so that it has a balance."""
        return Meter(self.customer_id, feature) in self._counters

    def balances(self, features: Iterable[str]) -> dict[str, Balance]:
        return {feature: self.balance(feature) for feature in features}

    def touched(self) -> Iterable[Balance]:
        """The balances that decisions looked at, as they now stand."""
        return self._balances.values()

    def _put(self, feature: str, balance: Balance) -> None:
        self._journal.put(self._balances, feature, balance)

    def _period(self, feature: str, at: datetime) -> Period:
        return self.billing.period(metered_entitlement(self.plan, feature).reset, at)
