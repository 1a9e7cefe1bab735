"""Bars as tall as what they stand for."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from api.pages.charts import HEIGHT, WIDTH, Bucket, bar_chart, usage_bar

EMPTY = Bucket("", "", 0, 0, None, "", "")
counts = st.integers(0, 10**15)


@given(
    st.lists(
        st.builds(
            lambda used, over, limit: replace(EMPTY, used=used, overage=min(over, used), limit=limit), counts, counts, st.none() | counts
        ),
        max_size=40,
    )
)
def test_bars_stay_within_the_chart_and_in_proportion(buckets: list[Bucket]) -> None:
    chart = bar_chart(buckets)
    assert chart.buckets == buckets
    for bar in chart.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
        assert 0 <= bar.overage_height <= bar.height
    tallest = max((bucket.used for bucket in buckets), default=0)
    for bar in chart.bars:
        if tallest and bar.bucket.used == tallest:
            assert bar.height == max(other.height for other in chart.bars)
    for step in chart.steps:
        assert 0 <= step.y <= HEIGHT


def test_a_limit_far_above_all_usage_does_not_flatten_the_bars() -> None:
    far, near = (bar_chart([replace(EMPTY, used=10, limit=limit)]) for limit in (1_000, 20))
    assert far.steps == []
    assert far.bars[0].height > near.bars[0].height
    assert len(near.steps) == 1


@given(counts, counts, counts, counts, counts)
def test_the_parts_of_a_bar_fill_it_and_no_more(plan: int, burnt: int, overage: int, held: int, more: int) -> None:
    used = plan + burnt + overage
    bar = usage_bar(used=used, burnt=burnt, overage=overage, held=held, limit=used - overage + more)
    assert bar is not None
    parts = (bar.allowance, bar.grants, bar.overage, bar.held)
    assert all(part >= 0 for part in parts)
    assert sum(parts) <= bar.width


def test_without_a_limit_there_is_nothing_to_measure_against() -> None:
    assert usage_bar(used=5, burnt=0, overage=0, held=0, limit=None) is None
    full = usage_bar(used=10, burnt=0, overage=0, held=0, limit=10)
    assert full is not None
    assert full.allowance == full.width
