"""When what is stored of a feature's funds still holds, and how far back the books have to be opened where it does not."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from core.metering.counters import Counter
from core.metering.funds import Funds
from core.plans.periods import END, Billing, Period
from core.plans.plan import Metered

_INSTANT: Final = timedelta(microseconds=1)


class StoredFunds(NamedTuple):
    """What was written with a counter: the funds, and the usage that they were about. Without funds: only that there were some once."""

    funds: Funds | None
    used: int

    def hold(self, counter: Counter, period: Period, entitlement: Metered, agreed_at: datetime, at: datetime) -> bool:
        """Whether they are what the books would say at this instant.

        Not where something happened since by the clock or by an agreement, nor where somebody counted who knew nothing of funds.
        """
        funds = self.funds
        return (
            funds is not None
            and counter.shows(period) == self.used
            and funds.since <= at < funds.until
            and (funds.agreed_at, funds.allowance) == (agreed_at, entitlement.limit)
        )


def books_since(stored: StoredFunds | None, counter: Counter, period: Period, entitlement: Metered, billing: Billing) -> datetime | None:
    """Since when the books have to be opened, for funds that do not hold, or that are still to be; None: from the first grant on."""
    if stored is None:
        start, rollover = period.start, entitlement.rollover
        for _ in range(rollover.periods if rollover else 0):
            start = billing.period(entitlement.reset, start - _INSTANT).start
        return start
    return None if counter.start is None else min(counter.start, period.start)


def rolls_over(entitlement: Metered, period: Period) -> bool:
    """Whether anything is left behind when the period ends."""
    return entitlement.rollover is not None and period.end != END
