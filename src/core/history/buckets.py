"""How a stretch of time is divided for a history: hours, days, weeks and months of the customer's calendar, or its billing periods."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from core.errors import DomainError
from core.metering.timeline import timeline
from core.plans.periods import ALWAYS, INSTANT, Billing, Period, Reset
from core.plans.plan import Metered
from core.plans.terms import TermsHistory

BUCKETS_MAX: Final = 5_000
"""How many buckets one answer may have, of one feature."""

MONTHS_DEFAULT: Final = 6
"""How many months, this one included, are shown where nobody says since when."""

HOURLY_DEFAULT: Final = timedelta(days=7)
"""How much is shown of hours."""


class By(StrEnum):
    """What one bucket of a history is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    BILLING_PERIOD = "billing_period"


class InvalidSpan(DomainError):
    """A stretch of time that no history can be given of. `parameter` says what to change."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(parameter, message)
        self.parameter, self.message = parameter, message

    def facts(self) -> Mapping[str, object]:
        return {"parameter": self.parameter}


def buckets(history: TermsHistory, by: By, *, since: datetime | None, until: datetime | None, now: datetime) -> list[Period]:
    """The buckets of `since <= t < until`, one after the other. The first and the last are cut off at these bounds.

    `until` of None is the end of the bucket that contains now. `since` of None: the last six months, this one included; of hours, the
    last seven days. Days, weeks and months are those of the customer's calendar as it is now; billing periods are those that were in
    force, and one that gave way to another ends where the other begins. Raises InvalidSpan.
    """
    terms = history.at(now) or history.first
    last = until - INSTANT if until is not None else now
    if since is None:
        since = _beginning(history, by, terms.billing, last)
    if until is not None and since >= until:
        raise InvalidSpan("until", "until must come after since.")
    found: list[Period] = []
    for period in _dividing(history, by, terms.billing)(since, max(since, last)):
        end = period.end if until is None else min(period.end, until)
        found.append(Period(max(period.start, since), end))
        if len(found) > BUCKETS_MAX:
            raise InvalidSpan("since", f"That makes more than {BUCKETS_MAX} buckets: ask for a shorter time, or for longer buckets.")
    return found


def first_of_months(billing: Billing, at: datetime, months: int) -> datetime:
    """When the first of so many months began, of which the last one contains `at`."""
    since = billing.period(Reset.MONTH, at).start
    for _ in range(months - 1):
        since = billing.period(Reset.MONTH, since - INSTANT).start
    return since


def _beginning(history: TermsHistory, by: By, billing: Billing, last: datetime) -> datetime:
    """Since when there is a history where nobody says: the beginning of a bucket."""
    if by is By.HOUR:
        since = billing.period(Reset.DAY, last - HOURLY_DEFAULT + timedelta(days=1)).start
    else:
        since = first_of_months(billing, last, MONTHS_DEFAULT)
    return next(_dividing(history, by, billing)(since, since)).start


def _dividing(history: TermsHistory, by: By, billing: Billing) -> Callable[[datetime, datetime], Iterator[Period]]:
    """What says of a first and a last instant which whole periods they and all between them lie in."""
    if by is By.BILLING_PERIOD:
        return lambda first, last: (
            Period(span.start, span.end) for span in timeline(history, lambda _: Metered(None), since=first, now=last)
        )
    return lambda first, last: _calendar(billing, Reset(by.value), first, last)


def _calendar(billing: Billing, reset: Reset, first: datetime, last: datetime) -> Iterator[Period]:
    period = billing.period(reset, first)
    yield period
    while period.end <= last and period != ALWAYS:
        period = billing.period(reset, period.end)
        yield period
