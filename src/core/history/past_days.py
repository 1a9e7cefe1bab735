"""A customer's past, day by day of its own calendar, as forecasts are made from it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.customers.ports import TermsReader
from core.history.buckets import By, buckets
from core.history.forecast import DayAhead, PastDay
from core.history.overage import cuts_of, used_up
from core.history.ports import UsageSums
from core.history.read_history import limited_spans, plans_of
from core.metering.timeline import Span
from core.plans.periods import Billing, Period, Reset
from core.plans.ports import PlanReader
from core.plans.terms import TermsHistory

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Past:
    """One feature's days until yesterday, the periods that its usage counted in, and of each day whether nothing could be used."""

    periods: Sequence[Period]
    days: Sequence[PastDay]
    used_up: Sequence[bool]
    spans: Sequence[Span]

    @property
    def free_days(self) -> list[PastDay]:
        """Without the days on which nothing was left, and nothing was used: they show the limit, and not the customer."""
        return [day for day, full in zip(self.days, self.used_up, strict=True) if day.used > 0 or not full]


class PastDays:
    """Reads them by the sums of days, whatever the number of records."""

    def __init__(self, terms: TermsReader, plans: PlanReader, sums: UsageSums) -> None:
        self._terms = terms
        self._plans = plans
        self._sums = sums

    async def read(self, customer_id: str, features: Collection[str], now: datetime, days: int) -> Mapping[str, Past]:
        """By feature, so many days until the end of yesterday. Raises CustomerNotFound."""
        history = TermsHistory.of(await self._terms.history(customer_id))
        billing = (history.at(now) or history.first).billing
        today = billing.period(Reset.DAY, now)
        since = billing.period(Reset.DAY, today.start - timedelta(days=days) + timedelta(hours=12)).start
        periods = buckets(history, By.DAY, since=since, until=today.start, now=now)
        plans = await plans_of(self._plans, history)
        spans = {key: limited_spans(history, plans, key, periods, now) for key in features}
        cuts = {key: cuts_of(periods, found) for key, found in spans.items()}
        sums = await self._sums.between(customer_id, cuts, now=now)
        found = {}
        for key in features:
            used = [sum(share.quantity for share in shares) for shares in sums[key].shares]
            full = used_up(periods, spans[key], cuts[key], used, sums[key].granted)
            found[key] = Past(periods, _by_day(periods, cuts[key], used, billing), full, spans[key])
        return found


def _by_day(periods: Sequence[Period], cuts: Sequence[datetime], used: Sequence[int], billing: Billing) -> list[PastDay]:
    """A correction counts where the usage occurred, so that a day's sum is below nothing only by mistake."""
    days = []
    for period in periods:
        total = sum(quantity for start, quantity in zip(cuts, used, strict=False) if start in period)
        days.append(PastDay(is_weekend(period.start, billing), max(total, 0)))
    return days


def is_weekend(start: datetime, billing: Billing) -> bool:
    """Whether the day that begins then is a Saturday or a Sunday where the customer is."""
    return (start + timedelta(hours=12)).astimezone(billing.zone).weekday() >= _SATURDAY


def days_until(end: datetime, billing: Billing, now: datetime) -> list[DayAhead]:
    """The days from now until then: the rest of today, whole ones, and a part of the last."""
    found = []
    at = now
    while at < end:
        day = billing.period(Reset.DAY, at)
        until = min(day.end, end)
        found.append(DayAhead(at, until, is_weekend(day.start, billing), (until - at) / (day.end - day.start)))
        at = until
    return found
