"""A counter shows the usage of its own period only; of any other the ledger has to be asked."""

from datetime import timedelta

import pytest

from core.metering.counters import NEVER_COUNTED, Counter, wanted_period
from core.plans.periods import ALWAYS, Period, Reset
from core.plans.plan import Entitlement, Metered, Plan
from tests.unit.fakes.examples import BILLING, NOW, PERIOD, PRO

DAY = timedelta(days=1)
COUNTER = Counter(7, PERIOD.start, PERIOD.end)


def test_a_counter_of_the_wanted_period_shows_its_usage() -> None:
    assert COUNTER.shows(PERIOD) == 7
    assert Counter(0, PERIOD.start, PERIOD.end).shows(PERIOD) == 0


@pytest.mark.parametrize(
    "wanted",
    [
        Period(PERIOD.end, PERIOD.end + 30 * DAY),
        Period(PERIOD.start, PERIOD.end + DAY),
        Period(PERIOD.start - DAY, PERIOD.end),
        ALWAYS,
    ],
)
def test_a_counter_of_another_period_shows_nothing(wanted: Period) -> None:
    assert COUNTER.shows(wanted) is None


def test_a_counter_that_never_counted_shows_nothing() -> None:
    assert NEVER_COUNTED.shows(PERIOD) is None


@pytest.mark.parametrize("counter", [COUNTER, NEVER_COUNTED])
def test_where_no_period_is_wanted_nothing_is_counted(counter: Counter) -> None:
    assert counter.shows(None) == 0


@pytest.mark.parametrize(
    ("reset", "period"),
    [
        (Reset.BILLING_PERIOD, PERIOD),
        (Reset.DAY, Period(NOW.replace(hour=0), NOW.replace(hour=0) + DAY)),
        (Reset.NEVER, ALWAYS),
    ],
)
def test_usage_counts_in_the_period_of_the_limits_reset(reset: Reset, period: Period) -> None:
    entitlements: dict[str, Entitlement] = {"sessions": Metered(10, reset)}
    assert wanted_period(Plan("own", 1, "Own", entitlements), BILLING, "sessions", NOW) == period


def test_a_feature_that_the_plan_lacks_counts_over_the_billing_period() -> None:
    assert wanted_period(PRO, BILLING, "conversations", NOW) == PERIOD


@pytest.mark.parametrize("feature", ["max_file_size_mb", "exports", "single_sign_on"])
def test_what_the_plan_does_not_meter_has_no_period(feature: str) -> None:
    assert wanted_period(PRO, BILLING, feature, NOW) is None
