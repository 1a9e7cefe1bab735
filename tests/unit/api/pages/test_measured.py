"""Rates between two looks at the counters."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from api.pages.console.measured import Measurements, quantile

AT = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_rates_are_those_since_the_oldest_look_of_the_last_minute(registry: CollectorRegistry) -> None:
    commands = Counter("tollgate_commands", "", ("use_case", "outcome"), registry=registry)
    Histogram("tollgate_batch_seconds", "", ("use_case",), registry=registry)
    measurements = Measurements(lambda: registry)
    assert measurements.look(AT) is None
    commands.labels("ConsumeUsage", "done").inc(100)
    commands.labels("ReserveUsage", "done").inc(20)
    commands.labels("ConsumeUsage", "LimitExceeded").inc(30)
    commands.labels("ConsumeUsage", "replayed").inc(10)
    rates = measurements.look(AT + 10 * SECOND)
    assert rates is not None
    assert (rates.decided, rates.refused, rates.replayed, rates.refusals) == (12, 3, 1, {"LimitExceeded": 3})
    assert rates.median_ms is None
    later = measurements.look(AT + 69 * SECOND)
    assert later is not None
    assert (later.over_seconds, later.decided) == (59, 0)


def test_two_looks_at_one_instant_have_nothing_between_them(registry: CollectorRegistry) -> None:
    measurements = Measurements(lambda: registry)
    measurements.look(AT)
    assert measurements.look(AT) is None


def test_a_quantile_lies_within_its_bucket() -> None:
    counts = {0.001: 0.0, 0.01: 50.0, 0.1: 99.0, float("inf"): 100.0}
    assert quantile(counts, 0.25) == pytest.approx(5.5)
    assert quantile(counts, 0.5) == pytest.approx(10)
    assert quantile(counts, 0.99) == pytest.approx(100)
    assert quantile(counts, 1.0) == pytest.approx(100)
    assert quantile({0.1: 0.0, float("inf"): 0.0}, 0.5) is None
