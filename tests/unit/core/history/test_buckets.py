import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.history.buckets import BUCKETS_MAX, By, InvalidSpan, buckets
from core.plans.periods import ALWAYS, Billing, Interval, Period
from tests.unit.core.history.agreed import JANUARY, agreed, billing

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
ZONES = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)


def divided(by: By, since: datetime | None = None, until: datetime | None = None, calendar: Billing | None = None) -> list[Period]:
    return buckets(agreed((JANUARY, "pro", calendar or billing())), by, since=since, until=until, now=NOW)


def test_without_bounds_it_is_six_months_this_one_included() -> None:
    months = divided(By.MONTH)
    assert [bucket.start.month for bucket in months] == [6, 7, 8, 9, 10, 11]
    assert months[-1].end == datetime(2026, 12, 1, tzinfo=UTC)
    days = divided(By.DAY)
    assert (days[0].start, days[-1].end, len(days)) == (datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC), 174)
    weeks = divided(By.WEEK)
    assert (weeks[0].start, weeks[-1].end) == (datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
    hours = divided(By.HOUR)
    assert (hours[0].start, hours[-1].end) == (datetime(2026, 11, 15, tzinfo=UTC), datetime(2026, 11, 21, 13, tzinfo=UTC))


def test_days_are_those_of_the_zone_also_where_it_is_a_quarter_of_an_hour_off() -> None:
    (first, *_) = divided(
        By.DAY, since=datetime(2026, 11, 1, tzinfo=UTC) - timedelta(hours=5, minutes=45), calendar=billing("Asia/Kathmandu")
    )
    assert first == Period(datetime(2026, 10, 31, 18, 15, tzinfo=UTC), datetime(2026, 11, 1, 18, 15, tzinfo=UTC))


def test_a_day_on_which_clocks_change_has_23_or_25_hours() -> None:
    calendar = billing("Europe/Vienna")
    spring = divided(By.DAY, datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC), calendar)
    autumn = divided(By.DAY, datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC), calendar)
    assert [bucket.end - bucket.start for bucket in spring + autumn] == [timedelta(hours=23), timedelta(hours=25)]


def test_billing_periods_follow_the_anchors_that_were_in_force() -> None:
    """The period that the new anchor makes begins before the change: the old one ends there."""
    history = agreed(
        (JANUARY, "pro", billing()), (datetime(2026, 8, 20, tzinfo=UTC), None, billing(anchor=datetime(2026, 8, 10, tzinfo=UTC)))
    )
    found = buckets(history, By.BILLING_PERIOD, since=datetime(2026, 7, 1, tzinfo=UTC), until=datetime(2026, 9, 10, tzinfo=UTC), now=NOW)
    assert [(bucket.start.month, bucket.start.day) for bucket in found] == [(7, 1), (8, 1), (8, 10)]


def test_an_open_billing_period_is_one_bucket() -> None:
    assert divided(By.BILLING_PERIOD, calendar=billing(anchor=None)) == [ALWAYS]
    since = datetime(2026, 11, 1, tzinfo=UTC)
    assert divided(By.BILLING_PERIOD, since, NOW, billing(anchor=None)) == [Period(since, NOW)]


@given(
    st.sampled_from(By),
    INSTANTS,
    st.timedeltas(timedelta(microseconds=1), timedelta(days=100)),
    ZONES,
    st.one_of(st.none(), INSTANTS),
    st.sampled_from(Interval),
)
def test_buckets_cover_what_was_asked_for_once_without_gaps(
    by: By, since: datetime, length: timedelta, zone: ZoneInfo, anchor: datetime | None, interval: Interval
) -> None:
    found = divided(by, since, since + length, Billing(anchor, interval, zone))
    assert (found[0].start, found[-1].end) == (since, since + length)
    assert all(bucket.start < bucket.end for bucket in found)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))


@given(st.sampled_from(By), ZONES)
def test_default_bounds_are_those_of_whole_buckets(by: By, zone: ZoneInfo) -> None:
    found = divided(by, calendar=Billing(JANUARY, Interval.MONTH, zone))
    assert divided(by, found[0].start, found[-1].end, Billing(JANUARY, Interval.MONTH, zone)) == found
    assert NOW in found[-1]


@pytest.mark.parametrize("until", [NOW, NOW - timedelta(seconds=1)])
def test_until_comes_after_since(until: datetime) -> None:
    with pytest.raises(InvalidSpan):
        divided(By.DAY, NOW, until)


def test_there_are_no_more_buckets_than_anybody_can_look_at() -> None:
    assert len(divided(By.HOUR, NOW - timedelta(hours=BUCKETS_MAX), NOW)) == BUCKETS_MAX
    with pytest.raises(InvalidSpan):
        divided(By.HOUR, NOW - timedelta(hours=BUCKETS_MAX + 1), NOW)
