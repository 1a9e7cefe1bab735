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

INSTANT: Final = timedelta(microseconds=1)
"""The smallest step of time that is told apart."""


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
    YEAR = "year"
    QUARTER = "quarter"
    MONTH = "month"
    WEEK = "week"
    DAY = "day"
    HOUR = "hour"
    NEVER = "never"


class Weekday(StrEnum):
    """The day that a calendar week begins on."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


INTERVAL_COUNT_MAX: Final = 36
"""How many intervals one billing period may have."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """Periods of `count` intervals each, counted from an anchor in a time zone's wall time: quarters are periods of three months.

    The n-th period starts at the anchor's wall time plus n times so many intervals: a day that the month does not have becomes its last
    day, and only for that month. A wall time that daylight saving skips is read with the offset in force before the change; one that
    occurs twice is its first occurrence, except that period 0 starts exactly at the anchor.
    """

    anchor: datetime
    interval: Interval
    zone: ZoneInfo
    count: int = 1

    def start_of(self, n: int) -> datetime:
        """The first instant of the n-th period; n may be negative."""
        if n == 0:
            return self.anchor
        wall = self.anchor.astimezone(self.zone).replace(tzinfo=None, fold=0)
        return _step(wall, self.interval, n * self.count).replace(tzinfo=self.zone).astimezone(UTC)

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
                intervals = local.toordinal() - anchor.toordinal()
            case Interval.WEEK:
                intervals = (local.toordinal() - anchor.toordinal()) // 7
            case Interval.MONTH:
                intervals = (local.year - anchor.year) * 12 + local.month - anchor.month
            case Interval.YEAR:
                intervals = local.year - anchor.year
        return intervals // self.count


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


_CALENDAR: Final = {
    Reset.YEAR: (Interval.YEAR, 1),
    Reset.QUARTER: (Interval.MONTH, 3),
    Reset.MONTH: (Interval.MONTH, 1),
    Reset.WEEK: (Interval.WEEK, 1),
    Reset.DAY: (Interval.DAY, 1),
}


@lru_cache(maxsize=4096)
def _calendar_cycle(reset: Reset, zone: ZoneInfo, week_starts_on: Weekday) -> Cycle:
    """Calendar periods are a cycle anchored at a local midnight that begins a year; weeks at the first such weekday after it."""
    midnight = datetime(2001, 1, 1, tzinfo=zone)  # a Monday
    if reset is Reset.WEEK:
        midnight += timedelta(days=list(Weekday).index(week_starts_on))
    interval, count = _CALENDAR[reset]
    return Cycle(midnight.astimezone(UTC), interval, zone, count)


_HOUR: Final = timedelta(hours=1)


def _hour_at(instant: datetime, zone: ZoneInfo) -> Period:
    """Hours are 3,600 seconds long, whatever clocks do, and begin where the zone's clocks showed full hours in January 2001."""
    anchor = datetime(2001, 1, 1, tzinfo=zone).astimezone(UTC)
    start = anchor + (instant - anchor) // _HOUR * _HOUR
    return Period(start, start + _HOUR)


class Billing(NamedTuple):
    """A customer's own calendar: what decides, with a limit's reset, the period that an instant belongs to.

    Without an anchor the billing period is open: it counts everything.
    """

    anchor: datetime | None
    interval: Interval
    zone: ZoneInfo
    interval_count: int = 1
    week_starts_on: Weekday = Weekday.MONDAY

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
        period = Cycle(billing.anchor, billing.interval, billing.zone, billing.interval_count).period_at(at)
    elif reset is Reset.HOUR:
        period = _hour_at(at, billing.zone)
    else:
        period = _calendar_cycle(reset, billing.zone, billing.week_starts_on).period_at(at)
    if len(_recent) >= _RECENT_MAX:
        _recent.clear()
    _recent[key] = period
    return period
