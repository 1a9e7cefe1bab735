"""Usage by dimension: the largest shares are shown, and the total stays the same."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from core.metering.ledger import OTHER, Breakdown, InvalidOccurredAt, Share, UsageRecord, bounded
from core.metering.meters import Meter
from tests.unit.fakes.examples import NOW, ORIGIN, PERIOD

SHARES = st.lists(
    st.builds(Share, st.none() | st.sampled_from(["a", "b", "c", "d", OTHER]), st.integers(0, 3)),
    unique_by=lambda share: share.dimension,
)


def test_the_largest_shares_come_first_and_equal_ones_by_their_names() -> None:
    shares = [Share("b", 1), Share(None, 1), Share("a", 1), Share("c", 2)]
    assert bounded(shares) == [Share("c", 2), Share(None, 1), Share("a", 1), Share("b", 1)]


def test_one_share_too_many_is_added_up_with_the_smallest_that_would_fit() -> None:
    shares = [Share("a", 5), Share("b", 4), Share("c", 3)]
    assert bounded(shares, at_most=3) == shares
    assert bounded(shares, at_most=2) == [Share("a", 5), Share(OTHER, 7)]


def test_usage_that_was_booked_as_other_is_added_up_with_the_others() -> None:
    shares = [Share(OTHER, 9), Share("a", 5), Share("b", 4), Share("c", 3)]
    assert bounded(shares, at_most=3) == [Share("a", 5), Share("b", 4), Share(OTHER, 12)]


@given(shares=SHARES, at_most=st.integers(1, 6))
def test_the_total_stays_the_same_however_few_are_shown(shares: list[Share], at_most: int) -> None:
    shown = bounded(shares, at_most)
    assert len(shown) <= at_most
    assert len({share.dimension for share in shown}) == len(shown)
    assert Breakdown(shown).used == Breakdown(shares).used


def test_a_record_counts_towards_its_customers_feature() -> None:
    assert UsageRecord(UUID(int=1), "acme", "sessions", 1, NOW, NOW, ORIGIN).meter == Meter("acme", "sessions")


def test_a_date_out_of_bounds_is_refused_with_both_bounds_in_words() -> None:
    refusal = InvalidOccurredAt(NOW, PERIOD.start, PERIOD.end)
    assert "between 2026-11-01T00:00:00Z and 2026-12-01T00:00:00Z" in str(refusal)
