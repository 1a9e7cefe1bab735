"""When what is stored of a feature's funds still holds, and how far back the books have to be opened where it does not."""

from datetime import datetime
from typing import NamedTuple

from core.metering.counters import Counter
from core.metering.funds import Funds
from core.plans.periods import END, Period
from core.plans.plan import Metered


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


def books_since(stored: StoredFunds | None, counter: Counter, period: Period) -> datetime | None:
    """Since when the books have to be opened, for funds that do not hold; None: since there was anything to be kept in them."""
    return None if stored is None or counter.start is None else min(counter.start, period.start)


def rolls_over(entitlement: Metered, period: Period) -> bool:
    """Whether anything is left behind when the period ends."""
    return entitlement.rollover is not None and period.end != END
