"""The rules of periods as properties, over any anchor, time zone and instant. `test_periods_by_example.py` has the famous cases."""

import calendar
from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from core.plans import periods
from core.plans.periods import INTERVAL_COUNT_MAX, Billing, Cycle, Interval, Period, Reset, Weekday

MICROSECOND = timedelta(microseconds=1)
VIENNA = ZoneInfo("Europe/Vienna")

HARD_ZONES = [
    "Africa/Cairo",  # midnight is skipped
    "America/Havana",  # midnight is skipped, and occurs twice
    "America/New_York",
    "America/Sao_Paulo",  # midnight is skipped
    "America/St_Johns",  # changes at 00:01
    "Antarctica/Troll",  # changes by two hours
    "Asia/Beirut",  # midnight is skipped
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # changes by half an hour
    "Europe/Vienna",
    "Pacific/Apia",  # has no 30 December 2011
]
BEGINS: dict[Reset, Callable[[date, Weekday], bool]] = {
    Reset.YEAR: lambda day, _: (day.month, day.day) == (1, 1),
    Reset.QUARTER: lambda day, _: day.month in (1, 4, 7, 10) and day.day == 1,
    Reset.MONTH: lambda day, _: day.day == 1,
    Reset.WEEK: lambda day, week_starts_on: day.strftime("%A").lower() == week_starts_on,
    Reset.DAY: lambda day, _: True,
}
LONGEST_DAYS = {Reset.YEAR: 366, Reset.QUARTER: 92, Reset.MONTH: 31, Reset.WEEK: 7, Reset.DAY: 1}
TYPICAL_LENGTH = {
    Interval.DAY: timedelta(days=1),
    Interval.WEEK: timedelta(days=7),
    Interval.MONTH: timedelta(days=30, hours=10),
    Interval.YEAR: timedelta(days=365, hours=6),
}


# What the answers are checked against, written in another way than the code: starts are listed and searched, not counted.


def instants_that_read(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """The instants, earliest first, at which clocks in the zone show this time: one, two, or none where it is skipped."""
    nearby = (wall.replace(tzinfo=UTC) + timedelta(hours=hours) for hours in range(-40, 41, 4))
    candidates = {wall.replace(tzinfo=UTC) - offset_at(instant, zone) for instant in nearby}
    return sorted(instant for instant in candidates if clock(instant, zone) == wall)


def expected_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    shown = instants_that_read(wall, zone)
    if shown:
        return shown[0]
    before_the_change = wall.replace(tzinfo=UTC) - timedelta(hours=40)
    return wall.replace(tzinfo=UTC) - offset_at(before_the_change, zone)


def expected_wall(anchor: datetime, interval: Interval, n: int) -> datetime:
    match interval:
        case Interval.DAY | Interval.WEEK:
            return anchor + n * TYPICAL_LENGTH[interval]
        case Interval.MONTH:
            first = anchor.replace(day=1)
            for _ in range(abs(n)):
                first = (first + timedelta(days=31)).replace(day=1) if n > 0 else (first - timedelta(days=1)).replace(day=1)
        case Interval.YEAR:
            first = anchor.replace(day=1, year=anchor.year + n)
    return first.replace(day=min(anchor.day, calendar.monthrange(first.year, first.month)[1]))


def expected_start(cycle: Cycle, n: int) -> datetime:
    if n == 0:
        return cycle.anchor
    return expected_instant(expected_wall(clock(cycle.anchor, cycle.zone), cycle.interval, n * cycle.count), cycle.zone)


def expected_period(cycle: Cycle, instant: datetime) -> Period:
    near = (instant - cycle.anchor) // (TYPICAL_LENGTH[cycle.interval] * cycle.count)
    starts = [expected_start(cycle, n) for n in range(near - 3, near + 5)]
    return Period(max(start for start in starts if start <= instant), min(start for start in starts if start > instant))


def clock(instant: datetime, zone: ZoneInfo) -> datetime:
    """What a clock on the wall shows."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time.min)


def offset_at(instant: datetime, zone: ZoneInfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


@cache
def clock_changes(zone: ZoneInfo) -> list[datetime]:
    """The instants, to the minute, at which the zone's offset changes in some years that had hard ones."""
    changes = []
    for year in (1996, 2011, 2018, 2024):
        for week in range(53):
            low = datetime(year, 1, 1, tzinfo=UTC) + timedelta(weeks=week)
            high = low + timedelta(weeks=1)
            if offset_at(low, zone) != offset_at(high, zone):
                while high - low > timedelta(minutes=1):
                    middle = low + (high - low) / 2
                    low, high = (middle, high) if offset_at(middle, zone) == offset_at(low, zone) else (low, middle)
                changes.append(high.replace(second=0, microsecond=0))
    return changes


# What is asked: everything, with a liking for what is hard.

zones = st.sampled_from(HARD_ZONES).map(ZoneInfo) | st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
times_of_day = st.sampled_from([timedelta(0), timedelta(hours=2, minutes=30), timedelta(days=1) - MICROSECOND]) | st.timedeltas(
    timedelta(0), timedelta(days=1) - MICROSECOND
)


leap_days = st.sampled_from([date(year, 2, 29) for year in (1992, 2000, 2012, 2024, 2028)])
late_days = leap_days | st.builds(
    lambda year, month, before: date(year, month, max(29, calendar.monthrange(year, month)[1] - before)),
    st.integers(1990, 2035),
    st.sampled_from([1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    st.integers(0, 2),
)
"""29 to 31 of a month, and 29 February."""

kinds = st.sampled_from(["any", "late in the month", "at a clock change"])
folds = st.sampled_from([0, 1])
within_an_hour = st.timedeltas(timedelta(hours=-1), timedelta(hours=1))
within_a_day = st.timedeltas(timedelta(hours=-26), timedelta(hours=26))
near = within_an_hour | within_a_day
ever = st.timedeltas(timedelta(0), timedelta(days=62 * 365))
intervals = st.sampled_from(Interval)
counts = st.sampled_from([1, 1, 1, 3, 6]) | st.integers(1, INTERVAL_COUNT_MAX)
"""Quarters and half years more often than others."""

numbers = st.integers(-30, 30)
besides = st.sampled_from([-MICROSECOND, timedelta(0), MICROSECOND])


def draw_instant(draw: st.DrawFn, zone: ZoneInfo) -> datetime:
    """Any instant; late days of the month and the hours around a clock change (the ambiguous one included) more often than others."""
    match draw(kinds):
        case "late in the month":
            wall = midnight(draw(late_days)) + draw(times_of_day)
            return wall.replace(tzinfo=zone, fold=draw(folds)).astimezone(UTC)
        case "at a clock change" if clock_changes(zone):
            return draw(st.sampled_from(clock_changes(zone))) + draw(near)
        case _:
            return datetime(1975, 1, 1, tzinfo=UTC) + draw(ever)


def draw_cycle(draw: st.DrawFn) -> Cycle:
    zone = draw(zones)
    return Cycle(draw_instant(draw, zone), draw(intervals), zone, draw(counts))


def draw_question(draw: st.DrawFn) -> tuple[Cycle, datetime]:
    """A cycle and an instant that is often on a bound, just beside it, or on the far side of the anchor."""
    cycle = draw_cycle(draw)
    if draw(st.booleans()):
        return cycle, cycle.start_of(draw(numbers)) + draw(besides)
    return cycle, draw_instant(draw, cycle.zone)


instants = st.composite(draw_instant)
cycles = st.composite(draw_cycle)
questions = st.composite(draw_question)


@given(question=questions())
def test_a_period_contains_the_instant_that_it_was_asked_for(question: tuple[Cycle, datetime]) -> None:
    cycle, instant = question
    period = cycle.period_at(instant)
    assert period.start <= instant < period.end
    assert instant in period


@given(question=questions())
def test_the_start_belongs_to_the_period_and_the_end_to_the_next(question: tuple[Cycle, datetime]) -> None:
    cycle, instant = question
    period = cycle.period_at(instant)
    assert cycle.period_at(period.start) == period
    assert cycle.period_at(period.end - MICROSECOND) == period
    assert period.start in period
    assert period.end not in period
    assert cycle.period_at(period.end).start == period.end
    assert cycle.period_at(period.start - MICROSECOND).end == period.start


@given(question=questions(), data=st.data())
def test_two_instants_share_a_period_or_each_lies_outside_of_the_others(question: tuple[Cycle, datetime], data: st.DataObject) -> None:
    cycle, instant = question
    length = TYPICAL_LENGTH[cycle.interval] * cycle.count
    other = instant + data.draw(st.timedeltas(-2 * length, 2 * length))
    period, others = cycle.period_at(instant), cycle.period_at(other)
    assert (other in period) == (instant in others) == (period == others)


@given(cycle=cycles(), n=st.integers(-20, 20))
def test_starts_never_go_backwards_and_never_leave_a_gap(cycle: Cycle, n: int) -> None:
    start, end = cycle.start_of(n), cycle.start_of(n + 1)
    assert start <= end
    if start < end:  # a day that the zone skips is a period of no length, which contains nothing
        assert cycle.period_at(start) == Period(start, end)


@given(cycle=cycles(), n=st.integers(-60, 60))
def test_the_nth_period_starts_at_the_anchors_own_wall_time_n_intervals_on(cycle: Cycle, n: int) -> None:
    years = n * cycle.count if cycle.interval is Interval.YEAR else 0
    assume(MINYEAR < cycle.anchor.year + years < MAXYEAR)
    assert cycle.start_of(n) == expected_start(cycle, n)


@given(question=questions())
def test_the_period_lies_between_the_two_starts_around_the_instant(question: tuple[Cycle, datetime]) -> None:
    cycle, instant = question
    assert cycle.period_at(instant) == expected_period(cycle, instant)


@given(cycle=cycles())
def test_period_zero_starts_exactly_at_the_anchor(cycle: Cycle) -> None:
    assert cycle.start_of(0) == cycle.anchor
    assert cycle.period_at(cycle.anchor).start == cycle.anchor


@given(zone=zones, data=st.data(), reset=st.sampled_from(sorted(BEGINS)))
def test_calendar_periods_run_between_local_midnights(zone: ZoneInfo, data: st.DataObject, reset: Reset) -> None:
    first_day = data.draw(st.sampled_from(Weekday))
    billing = Billing(data.draw(st.none() | instants(zone)), data.draw(intervals), zone, data.draw(counts), first_day)
    instant = data.draw(instants(zone))
    reach = LONGEST_DAYS[reset] + 3
    around = [clock(instant, zone).date() + timedelta(days=days) for days in range(-reach, reach + 1)]
    starts = [expected_instant(midnight(day), zone) for day in around if BEGINS[reset](day, first_day)]
    expected = Period(max(start for start in starts if start <= instant), min(start for start in starts if start > instant))
    assert billing.period(reset, instant) == expected


@given(zone=zones, data=st.data())
def test_hours_touch_and_are_an_hour_long_over_every_change_of_the_clocks(zone: ZoneInfo, data: st.DataObject) -> None:
    billing = Billing(None, Interval.MONTH, zone)
    instant = data.draw(instants(zone))
    hour = billing.period(Reset.HOUR, instant)
    assert instant in hour
    assert hour.end - hour.start == timedelta(hours=1)
    assert billing.period(Reset.HOUR, hour.end).start == hour.end
    assert billing.period(Reset.HOUR, hour.start - MICROSECOND).end == hour.start


def test_an_hour_begins_on_the_full_hour_of_the_customers_clock() -> None:
    for name, minute in (("UTC", 0), ("Europe/Vienna", 0), ("Asia/Kolkata", 30), ("Asia/Kathmandu", 15)):
        hour = Billing(None, Interval.MONTH, ZoneInfo(name)).period(Reset.HOUR, datetime(2026, 7, 1, 12, 34, 56, tzinfo=UTC))
        assert hour.start.minute == minute, name
        assert clock(hour.start, ZoneInfo(name)).minute == 0, name


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_an_answer_does_not_depend_on_what_was_asked_before(data: st.DataObject) -> None:
    zone = data.draw(zones)
    anchor = data.draw(instants(zone))
    anchors = st.sampled_from([None, anchor, anchor + MICROSECOND, anchor + timedelta(days=1)])
    calendars = st.builds(Billing, anchors, intervals, st.sampled_from([zone, VIENNA]), st.sampled_from([1, 3]), st.sampled_from(Weekday))
    moments = st.sampled_from([anchor, anchor - MICROSECOND, anchor + MICROSECOND]) | instants(zone)
    asked = data.draw(st.lists(st.tuples(calendars, st.sampled_from(Reset), moments), min_size=2, max_size=8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(periods, "_RECENT_MAX", 3)  # so that forgetting is tried too
        answers = [billing.period(reset, instant) for billing, reset, instant in asked]
    for (billing, reset, instant), answer in zip(asked, answers, strict=True):
        periods._recent.clear()
        assert answer == billing.period(reset, instant)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periods, "_RECENT_MAX", 10)
    periods._recent.clear()
    now = datetime(2026, 6, 1, tzinfo=UTC)
    remembered = []
    for minutes in range(100):
        Billing(now - timedelta(minutes=minutes), Interval.MONTH, VIENNA).period(Reset.BILLING_PERIOD, now)
        remembered.append(len(periods._recent))
    assert max(remembered) == 10
