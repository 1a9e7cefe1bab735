from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.history.buckets import By, buckets
from core.history.overage import Standing, cuts_of, standings
from core.history.ports import Granted
from core.metering.timeline import Span, timeline
from core.plans.periods import Period
from core.plans.plan import Metered
from core.plans.terms import Terms, TermsHistory
from tests.unit.core.history.agreed import JANUARY, agreed, billing

NOW = datetime(2026, 4, 20, tzinfo=UTC)
LIMITS = {"pro": 10, "big": 100, "free": 0, "all": None}
DAYS = st.dictionaries(st.integers(0, 109), st.integers(-3, 20), max_size=40)


def at(month: int, day: int) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


def limited(history: TermsHistory, since: datetime = JANUARY) -> list[Span]:
    def metered(terms: Terms) -> Metered:
        return Metered(LIMITS[terms.plan[0]])

    return timeline(history, metered, since=since, now=NOW)


def stood(
    history: TermsHistory, periods: list[Period], used: dict[datetime, int], granted: dict[datetime, Granted] | None = None
) -> list[Standing]:
    spans = limited(history, periods[0].start)
    cuts = cuts_of(periods, spans)
    between = list(pairwise(cuts))
    sums = [sum(quantity for instant, quantity in used.items() if start <= instant < end) for start, end in between]
    grants = [
        next((found for instant, found in (granted or {}).items() if start <= instant < end), Granted(0, 0)) for start, end in between
    ]
    return standings(periods, spans, cuts, sums, grants if granted else [])


def test_overage_shows_in_the_bucket_that_went_above_the_limit_of_its_billing_period() -> None:
    history = agreed((JANUARY, "pro", billing()))
    weeks = buckets(history, By.WEEK, since=at(2, 2), until=at(3, 9), now=NOW)
    used = {at(2, 1): 4, at(2, 3): 5, at(2, 10): 5, at(2, 25): 1, at(3, 3): 9}
    assert [week.overage for week in stood(history, weeks, used)] == [0, 4, 0, 1, 0]


def test_a_past_period_stands_against_the_limit_that_it_ended_with() -> None:
    history = agreed((JANUARY, "pro", billing()), (at(2, 15), "big", None), (at(4, 1), "free", None))
    months = buckets(history, By.MONTH, since=JANUARY, until=at(5, 1), now=NOW)
    used = {at(1, 5): 12, at(2, 5): 12, at(3, 5): 130, at(4, 5): 1}
    assert stood(history, months, used) == [Standing(12, 2, 10), Standing(12, 0, 100), Standing(130, 30, 100), Standing(1, 1, 0)]


def test_what_grants_paid_for_is_no_overage_and_what_they_have_left_may_be_used() -> None:
    history = agreed((JANUARY, "pro", billing()))
    months = buckets(history, By.MONTH, since=JANUARY, until=at(3, 1), now=NOW)
    used = {at(1, 5): 16, at(2, 5): 3}
    granted = {at(1, 20): Granted(4, 0), at(2, 20): Granted(0, 7)}
    assert stood(history, months, used, granted) == [Standing(16, 2, 14), Standing(3, 0, 17)]


def test_nothing_is_above_no_limit() -> None:
    history = agreed((JANUARY, "all", billing()))
    months = buckets(history, By.MONTH, since=JANUARY, until=at(2, 1), now=NOW)
    assert stood(history, months, {at(1, 5): 1_000}) == [Standing(1_000, 0, None)]


@given(DAYS, st.sampled_from(By), st.integers(0, 100))
def test_all_buckets_add_up_to_the_ledger_and_their_overages_to_the_periods(days: dict[int, int], by: By, since: int) -> None:
    history = agreed((JANUARY, "pro", billing()), (at(3, 3), "big", billing(anchor=at(3, 2))), (at(4, 9), "pro", None))
    used = {JANUARY + timedelta(days=day, hours=7): quantity for day, quantity in days.items()}
    start = JANUARY + timedelta(days=since)
    periods = buckets(history, by, since=start, until=NOW, now=NOW)
    found = stood(history, periods, used)
    assert sum(bucket.used for bucket in found) == sum(quantity for instant, quantity in used.items() if start <= instant < NOW)

    def above(span: Span, until: datetime) -> int:
        limit = span.segments[-1].entitlement.limit
        total = sum(quantity for instant, quantity in used.items() if span.start <= instant < min(span.end, until))
        return max(total - limit, 0) if limit is not None else 0

    spans = limited(history, start)
    expected = [sum(above(span, bound) for span in spans) for bound in (start, *(period.end for period in periods))]
    assert list(accumulate(bucket.overage for bucket in found)) == [total - expected[0] for total in expected[1:]]
