"""The periods that limits count over: half-open, of aware UTC instants, computed from an anchor and never from each other."""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

BEGINNING: Final = datetime(1, 1, 2, tzinfo=UTC)
"""Start of the open period. Before anything that can be recorded."""

END: Final = datetime(9999, 12, 1, tzinfo=UTC)
"""End of the open period. After anything that can be recorded."""


@dataclass(frozen=True, slots=True)
class Period:
    """The instants `start <= t < end`, both aware UTC."""

    start: datetime
    end: datetime

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    @property
    def resets_at(self) -> datetime | None:
        """When usage begins anew; None for a period that never ends."""
        return None if self.end == END else self.end

    @property
    def starts_at(self) -> datetime | None:
        """The period's start; None for a period that counts everything."""
        return None if self.start == BEGINNING else self.start


ALWAYS: Final = Period(BEGINNING, END)
"""The open period: it counts everything and never resets."""


class Interval(StrEnum):
    """The step of a billing cycle."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Reset(StrEnum):
    """The period that a metered limit counts over."""

    BILLING_PERIOD = "billing_period"
    MONTH = "month"
    WEEK = "week"
    DAY = "day"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Cycle:
    """Periods of one interval, counted from an anchor in a time zone's wall time.

    The n-th period starts at the anchor's wall time plus n intervals: a day that the month does not have becomes its last day, and
    only for that month. A wall time that daylight saving skips is read with the offset in force before the change; one that
    occurs twice is its first occurrence, except that period 0 starts exactly at the anchor.
    """

    anchor: datetime
    interval: Interval
    zone: ZoneInfo

    def start_of(self, n: int) -> datetime:
        """The first instant of the n-th period; n may be negative."""
        if n == 0:
            return self.anchor
        wall = self.anchor.astimezone(self.zone).replace(tzinfo=None, fold=0)
        return _step(wall, self.interval, n).replace(tzinfo=self.zone).astimezone(UTC)

    def period_at(self, instant: datetime) -> Period:
        """The one period that contains the instant."""
        n = self._estimate(instant) + 1
        while self.start_of(n) > instant:
            n -= 1
        return Period(self.start_of(n), self.start_of(n + 1))

    def _estimate(self, instant: datetime) -> int:
        """By the dates alone. Never more than one too low, which it is where a zone turns its clocks back over midnight."""
        anchor, local = self.anchor.astimezone(self.zone), instant.astimezone(self.zone)
        match self.interval:
            case Interval.DAY:
                return local.toordinal() - anchor.toordinal()
            case Interval.WEEK:
                return (local.toordinal() - anchor.toordinal()) // 7
            case Interval.MONTH:
                return (local.year - anchor.year) * 12 + local.month - anchor.month
            case Interval.YEAR:
                return local.year - anchor.year


def _step(wall: datetime, interval: Interval, n: int) -> datetime:
    match interval:
        case Interval.DAY:
            return wall + timedelta(days=n)
        case Interval.WEEK:
            return wall + timedelta(weeks=n)
        case Interval.MONTH:
            months = wall.year * 12 + wall.month - 1 + n
        case Interval.YEAR:
            months = (wall.year + n) * 12 + wall.month - 1
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return wall.replace(year=year, month=month + 1, day=min(wall.day, last))


_CALENDAR: Final = {Reset.MONTH: Interval.MONTH, Reset.WEEK: Interval.WEEK, Reset.DAY: Interval.DAY}


@lru_cache(maxsize=4096)
def _calendar_cycle(reset: Reset, zone: ZoneInfo) -> Cycle:
    """Calendar periods are a cycle anchored at a local midnight that begins a month and, being a Monday, an ISO 8601 week."""
    midnight = datetime(2001, 1, 1, tzinfo=zone)
    return Cycle(midnight.astimezone(UTC), _CALENDAR[reset], zone)


class Billing(NamedTuple):
    """A customer's own calendar: what decides, with a limit's reset, the period that an instant belongs to.

    Without an anchor the billing period is open: it counts everything.
    """

    anchor: datetime | None
    interval: Interval
    zone: ZoneInfo

    def period(self, reset: Reset, at: datetime) -> Period:
        """The period of this reset that contains `at`."""
        return _period(self, reset, at)


_recent: dict[tuple[Billing, Reset], Period] = {}
_RECENT_MAX: Final = 20_000


def _period(billing: Billing, reset: Reset, at: datetime) -> Period:
    """Remembers each calendar's latest period, since nearly all questions are about that one."""
    if reset is Reset.NEVER or (reset is Reset.BILLING_PERIOD and billing.anchor is None):
        return ALWAYS
    key = (billing, reset)
    known = _recent.get(key)
    if known is not None and at in known:
        return known
    if reset is Reset.BILLING_PERIOD:
        assert billing.anchor is not None
        period = Cycle(billing.anchor, billing.interval, billing.zone).period_at(at)
    else:
        period = _calendar_cycle(reset, billing.zone).period_at(at)
    if len(_recent) >= _RECENT_MAX:
        _recent.clear()
    _recent[key] = period
    return period
