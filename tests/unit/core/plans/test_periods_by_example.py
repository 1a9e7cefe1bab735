"""Days 29 to 31, leap years, daylight saving and the date line: the cases that broke the periods of other systems, by hand."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.plans.periods import ALWAYS, Billing, Cycle, Interval, Period, Reset

MICROSECOND = timedelta(microseconds=1)
VIENNA = ZoneInfo("Europe/Vienna")
NEW_YORK = ZoneInfo("America/New_York")
APIA = ZoneInfo("Pacific/Apia")
ST_JOHNS = ZoneInfo("America/St_Johns")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def clock(instant: datetime, zone: ZoneInfo) -> str:
    """What a clock on the wall shows."""
    return instant.astimezone(zone).replace(tzinfo=None).isoformat()


def monthly(anchor: datetime, zone: str = "UTC") -> Cycle:
    return Cycle(anchor, Interval.MONTH, ZoneInfo(zone))


def test_an_anchor_on_the_31st_uses_the_last_day_of_short_months_and_returns_to_the_31st() -> None:
    cycle = monthly(utc(2026, 1, 31))
    starts = [cycle.start_of(n).date().isoformat() for n in range(6)]
    assert starts == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"]


@pytest.mark.parametrize(("day", "february"), [(28, "2027-02-28"), (29, "2027-02-28"), (30, "2027-02-28")])
def test_an_anchor_late_in_the_month_returns_to_its_own_day_after_february(day: int, february: str) -> None:
    cycle = monthly(utc(2026, 12, day))
    assert [cycle.start_of(n).date().isoformat() for n in (1, 2, 3)] == [f"2027-01-{day}", february, f"2027-03-{day}"]


def test_an_anchor_on_the_31st_starts_on_29_february_in_a_leap_year() -> None:
    assert monthly(utc(2024, 1, 31)).period_at(utc(2024, 3, 1)) == Period(utc(2024, 2, 29), utc(2024, 3, 31))


def test_periods_before_the_anchor_are_counted_backwards_from_it() -> None:
    cycle = monthly(utc(2026, 3, 31))
    assert [cycle.start_of(n) for n in (-1, -2, -13)] == [utc(2026, 2, 28), utc(2026, 1, 31), utc(2025, 2, 28)]
    assert cycle.period_at(utc(2026, 3, 30)) == Period(utc(2026, 2, 28), utc(2026, 3, 31))


def test_a_yearly_anchor_on_29_february_returns_to_it_every_leap_year() -> None:
    cycle = Cycle(utc(2024, 2, 29), Interval.YEAR, ZoneInfo("UTC"))
    starts = [cycle.start_of(n).date().isoformat() for n in (-4, -1, 0, 1, 2, 3, 4)]
    assert starts == ["2020-02-29", "2023-02-28", "2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]


def test_a_year_crosses_the_century_that_had_no_leap_day() -> None:
    assert Cycle(utc(2096, 2, 29), Interval.YEAR, ZoneInfo("UTC")).start_of(4) == utc(2100, 2, 28)


def test_the_wall_time_is_kept_when_daylight_saving_begins_and_ends() -> None:
    cycle = monthly(utc(2026, 1, 15, 8), "Europe/Vienna")  # 09:00 in Vienna
    assert cycle.start_of(3) == utc(2026, 4, 15, 7)
    assert cycle.start_of(10) == utc(2026, 11, 15, 8)


def test_a_day_has_23_hours_when_daylight_saving_begins_and_25_when_it_ends() -> None:
    days = Cycle(utc(2025, 12, 31, 23), Interval.DAY, VIENNA)
    begins, ends = days.period_at(utc(2026, 3, 29, 12)), days.period_at(utc(2026, 10, 25, 12))
    assert begins == Period(utc(2026, 3, 28, 23), utc(2026, 3, 29, 22))
    assert ends == Period(utc(2026, 10, 24, 22), utc(2026, 10, 25, 23))


def test_a_wall_time_that_is_skipped_is_read_with_the_offset_before_the_change() -> None:
    cycle = monthly(utc(2026, 2, 8, 7, 30), "America/New_York")  # 02:30, which 8 March 2026 does not have
    assert cycle.start_of(1) == utc(2026, 3, 8, 7, 30)
    assert clock(cycle.start_of(1), NEW_YORK) == "2026-03-08T03:30:00"
    assert cycle.start_of(2) == utc(2026, 4, 8, 6, 30)


def test_a_wall_time_that_occurs_twice_is_its_first_occurrence() -> None:
    cycle = monthly(utc(2026, 10, 1, 5, 30), "America/New_York")  # 01:30, which 1 November 2026 has twice
    assert cycle.start_of(1) == utc(2026, 11, 1, 5, 30)


def test_an_anchor_in_the_second_of_two_ambiguous_hours_is_kept_to_the_microsecond() -> None:
    anchor = utc(2026, 11, 1, 6, 30) + 7 * MICROSECOND  # the second 01:30 in New York
    cycle = monthly(anchor, "America/New_York")
    assert cycle.period_at(anchor) == Period(anchor, utc(2026, 12, 1, 6, 30) + 7 * MICROSECOND)
    assert cycle.period_at(anchor - MICROSECOND) == Period(utc(2026, 10, 1, 5, 30) + 7 * MICROSECOND, anchor)


def test_only_the_anchor_itself_is_the_second_of_two_occurrences() -> None:
    yearly = Cycle(utc(2026, 11, 1, 6, 30), Interval.YEAR, NEW_YORK)  # the second 01:30; 1 November 2020 had two as well
    assert yearly.start_of(-6) == utc(2020, 11, 1, 5, 30)


def test_a_change_of_half_an_hour_moves_the_start_by_half_an_hour() -> None:
    cycle = monthly(utc(2026, 3, 14, 13), "Australia/Lord_Howe")  # midnight at +11
    assert [clock(cycle.start_of(n), LORD_HOWE) for n in (0, 1)] == ["2026-03-15T00:00:00", "2026-04-15T00:00:00"]
    assert cycle.start_of(1) == utc(2026, 4, 14, 13, 30)


def test_a_day_that_a_zone_skipped_contains_nothing() -> None:
    days = Cycle(utc(2011, 12, 25, 20), Interval.DAY, APIA)  # 10:00 at -10; 30 December 2011 is skipped
    assert days.start_of(5) == days.start_of(6) == utc(2011, 12, 30, 20)
    assert days.period_at(utc(2011, 12, 30, 19)) == Period(utc(2011, 12, 29, 20), utc(2011, 12, 30, 20))
    assert days.period_at(utc(2011, 12, 30, 20)) == Period(utc(2011, 12, 30, 20), utc(2011, 12, 31, 20))


def test_a_day_that_has_begun_goes_on_though_clocks_are_turned_back_into_the_day_before() -> None:
    days = Cycle(utc(2010, 10, 31, 2, 30), Interval.DAY, ST_JOHNS)  # midnight at -02:30; on 7 November 00:01 becomes 23:01
    seventh = Period(utc(2010, 11, 7, 2, 30), utc(2010, 11, 8, 3, 30))
    again = utc(2010, 11, 7, 2, 45)
    assert clock(again, ST_JOHNS) == "2010-11-06T23:15:00"
    assert days.period_at(seventh.start) == days.period_at(again) == seventh
    assert days.period_at(seventh.start - MICROSECOND) == Period(utc(2010, 11, 6, 2, 30), seventh.start)


def test_a_monthly_anchor_on_a_skipped_day_starts_when_the_next_day_begins() -> None:
    cycle = monthly(utc(2011, 11, 30, 10), "Pacific/Apia")  # midnight of the 30th at -10
    assert cycle.start_of(1) == utc(2011, 12, 30, 10)
    assert clock(cycle.start_of(1), APIA) == "2011-12-31T00:00:00"


@pytest.mark.parametrize(
    ("zone", "at", "start"),
    [
        ("America/Sao_Paulo", utc(2018, 11, 4, 12), utc(2018, 11, 4, 3)),  # 00:00 became 01:00
        ("Asia/Beirut", utc(2024, 3, 31, 12), utc(2024, 3, 30, 22)),  # 00:00 became 01:00
        ("Africa/Cairo", utc(2024, 4, 26, 12), utc(2024, 4, 25, 22)),  # 00:00 became 01:00
        ("America/Havana", utc(2024, 11, 3, 12), utc(2024, 11, 3, 4)),  # 01:00 became 00:00: the first midnight counts
        ("Antarctica/Troll", utc(2024, 3, 31, 12), utc(2024, 3, 31, 0)),  # two hours are skipped after midnight
        ("Asia/Kathmandu", utc(2024, 3, 31, 12), utc(2024, 3, 30, 18, 15)),
    ],
)
def test_a_calendar_day_starts_with_its_first_instant_where_midnight_is_odd(zone: str, at: datetime, start: datetime) -> None:
    billing = Billing(None, Interval.MONTH, ZoneInfo(zone))
    assert billing.period(Reset.DAY, at).start == start
    assert clock(start - MICROSECOND, ZoneInfo(zone))[:10] < clock(start, ZoneInfo(zone))[:10]


def test_a_calendar_week_starts_on_monday_in_the_customers_zone() -> None:
    tokyo = Billing(None, Interval.MONTH, ZoneInfo("Asia/Tokyo"))
    monday = utc(2026, 11, 1, 15)  # Monday 2 November, 00:00 in Tokyo; still Sunday in UTC
    assert tokyo.period(Reset.WEEK, monday) == Period(monday, monday + timedelta(days=7))
    assert tokyo.period(Reset.WEEK, monday - MICROSECOND).end == monday


def test_a_calendar_month_ignores_the_billing_anchor() -> None:
    billing = Billing(utc(2026, 1, 17, 5), Interval.YEAR, VIENNA)
    assert billing.period(Reset.MONTH, utc(2026, 4, 10)) == Period(utc(2026, 3, 31, 22), utc(2026, 4, 30, 22))


def test_a_billing_period_follows_the_anchor_the_interval_and_the_zone() -> None:
    billing = Billing(utc(2026, 1, 31, 23), Interval.WEEK, VIENNA)
    assert billing.period(Reset.BILLING_PERIOD, utc(2026, 3, 30)) == Period(utc(2026, 3, 28, 23), utc(2026, 4, 4, 22))


@pytest.mark.parametrize("at", [utc(1970, 1, 1), utc(2026, 11, 21), utc(2999, 12, 31)])
def test_without_an_anchor_the_billing_period_counts_everything(at: datetime) -> None:
    assert Billing(None, Interval.MONTH, VIENNA).period(Reset.BILLING_PERIOD, at) == ALWAYS
    assert at in ALWAYS


@pytest.mark.parametrize("anchor", [None, utc(2026, 1, 31)])
def test_a_limit_that_never_resets_counts_everything_with_any_anchor(anchor: datetime | None) -> None:
    assert Billing(anchor, Interval.MONTH, VIENNA).period(Reset.NEVER, utc(2026, 11, 21)) == ALWAYS


def test_a_period_that_ends_says_when_and_one_that_never_ends_says_nothing() -> None:
    ends = Period(utc(2026, 1, 1), utc(2026, 2, 1))
    assert (ends.starts_at, ends.resets_at) == (utc(2026, 1, 1), utc(2026, 2, 1))
    assert (ALWAYS.starts_at, ALWAYS.resets_at) == (None, None)
