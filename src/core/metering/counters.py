"""Counters: the sum of the ledger over one period, kept so that a decision costs the same after ten million records as after ten."""

from datetime import datetime
from typing import Final, NamedTuple

from core.errors import DomainError
from core.metering.entitlements import metered_entitlement
from core.metering.funds import Funds
from core.metering.meters import Meter
from core.plans.periods import Billing, Period
from core.plans.plan import Plan

Counted = tuple[Meter, Period]
"""What one sum is about: a meter's usage within a period."""


class PeriodNotLoaded(Exception):
    """A decision is about a period other than the meter's current one, and nobody has read yet what was used in it.

    Not a refusal: what the decision did so far is taken back, the sum is read, and it is made again.
    """

    def __init__(self, meter: Meter, at: datetime) -> None:
        super().__init__(meter, at)
        self.meter, self.at = meter, at


class Counter(NamedTuple):
    """What is stored of a meter: its usage, and the bounds of the period that this is the sum of. A new counter has no bounds yet."""

    used: int
    start: datetime | None
    end: datetime | None

    def shows(self, wanted: Period | None) -> int | None:
        """The usage within the wanted period; None where the counter sums another one, and so the ledger has to be asked.

        This is the one rule by which usage begins anew: a new period, a moved anchor, a changed plan and a repair all come to it.
        No period is wanted of a feature that the plan does not meter, and nothing is counted of it.
        """
        if wanted is None:
            return 0
        return self.used if (self.start, self.end) == (wanted.start, wanted.end) else None


NOTHING_RAISED: Final = frozenset[str]()


class CounterState(NamedTuple):
    """What is stored of a locked feature: usage within its current period, and what unexpired holds set aside, the last one until when.

    `funds` are there where grants are, or were. `raised` are the names of the alerts that were raised in that period.
    """

    used: int
    held: int
    held_until: datetime | None = None
    funds: Funds | None = None
    raised: frozenset[str] = NOTHING_RAISED


NEVER_COUNTED = Counter(0, None, None)
"""Where there is no counter yet."""


def wanted_period(plan: Plan, billing: Billing, feature: str, at: datetime) -> Period | None:
    """The period that usage of the feature counts in at this instant; None where the plan does not meter it."""
    try:
        return billing.period(metered_entitlement(plan, feature).reset, at)
    except DomainError:
        return None
