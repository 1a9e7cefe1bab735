"""Balances that are watched: what reaches a threshold is raised with what brought it there."""

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from core.errors import DomainError
from core.metering.alerts import OVERAGE, Raised, Watch, raised_overage, raised_threshold, reached, watch
from core.metering.balance import Balance
from core.metering.balances import Balances
from core.metering.counters import CounterState
from core.metering.entitlements import metered_entitlement
from core.metering.journal import Journal
from core.metering.ledger import UsageRecord
from core.metering.meters import Meter
from core.plans.features import FeatureCatalog
from core.plans.periods import Billing
from core.plans.plan import Plan


class WatchedBalances(Balances):
    """What was raised is collected to be written. Balances that are only read are watched by nobody."""

    __slots__ = ("_watches", "alerts", "new_id")

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
    ) -> None:
        super().__init__(customer_id, plan, billing, counters, now=now, catalog=catalog, journal=journal)
        self.new_id = new_id
        self.alerts: list[Raised] = []
        self._watches: dict[str, Watch] = {}  # by feature

    def watch(self) -> None:
        """From now on raises what is due, and at once what is due as the features stand: by a new period, or by terms that are new."""
        for meter, state in self._counters.items():
            feature = meter.feature
            try:
                balance = self.balance(feature)
            except DomainError:
                continue
            thresholds = metered_entitlement(self.plan, feature).alerts
            self._watches[feature] = found = watch(thresholds, balance.limit, state.raised)
            if balance.used >= found.at:
                self._raise(feature, balance, found)

    def raised_of(self, feature: str) -> frozenset[str]:
        """The names of what was raised of a locked feature in its current period, by now."""
        found = self._watches.get(feature)
        return self._counters[Meter(self.customer_id, feature)].raised if found is None else found.raised

    def _level(self, feature: str, balance: Balance) -> None:
        """Raises what is due of the feature as it stands."""
        found = self._watches.get(feature)
        if found is not None and (balance.used >= found.at or balance.limit != found.limit):
            self._raise(feature, balance, found)

    def _raise(self, feature: str, balance: Balance, found: Watch) -> None:
        thresholds = metered_entitlement(self.plan, feature).alerts
        due = reached(thresholds, balance, found.raised)
        for threshold in due:
            raised = raised_threshold(self.customer_id, self.plan.key, threshold, balance, self.now, self.new_id())
            self._journal.add(self.alerts, raised)
        names = found.raised.union(threshold.name for threshold in due)
        self._journal.put(self._watches, feature, watch(thresholds, balance.limit, names))

    def _raise_overage(self, feature: str, balance: Balance, record: UsageRecord) -> None:
        """The period's first overage is told."""
        found = self._watches.get(feature)
        if found is not None and OVERAGE not in found.raised:
            raised = raised_overage(self.customer_id, self.plan.key, record.overage, balance, self.now, self.new_id(), record.id)
            self._journal.add(self.alerts, raised)
            self._journal.put(self._watches, feature, found._replace(raised=found.raised | {OVERAGE}))
