"""What a stretch of time is read from: every instant once, and no rollup that says too much or too little."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.sql.engine.cover import DAY, GRAINS, HOUR, QUARTER, Piece, cover, floor

START = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = START + 20 * DAY

instants = st.one_of(
    st.integers(0, 20 * 96).map(lambda n: START + n * QUARTER),
    st.timedeltas(timedelta(), 20 * DAY).map(lambda after: START + after),
)
stale_starts = st.sets(st.integers(-10, 20 * 96).map(lambda n: START + n * QUARTER), max_size=12)


@given(st.sets(instants, min_size=2, max_size=40), st.one_of(st.none(), instants.map(lambda at: floor(at, QUARTER))), stale_starts)
def test_every_instant_is_in_one_piece_and_no_rollup_reaches_where_it_may_not(
    chosen: set[datetime], rolled_until: datetime | None, stale: set[datetime]
) -> None:
    cuts = sorted(chosen)
    pieces = sorted(cover(cuts, rolled_until, stale), key=lambda piece: piece.start)
    assert [pieces[0].start, *(piece.end for piece in pieces)] == [*(piece.start for piece in pieces), cuts[-1]]
    assert pieces[0].start == cuts[0]
    for grain, start, end in pieces:
        if grain is None:
            continue
        assert rolled_until is not None
        assert end <= rolled_until
        assert floor(start, grain) == start
        assert floor(end, grain) == end
        assert not any(start <= marked < end for marked in stale)
        assert all(floor(cut, grain) == cut for cut in cuts if start < cut < end)


@given(st.sets(instants, min_size=2, max_size=40))
def test_where_all_is_rolled_up_the_ledger_is_read_at_the_edges_only(chosen: set[datetime]) -> None:
    cuts = sorted(chosen)
    pieces = cover(cuts, UNTIL)
    for piece in pieces:
        if piece.grain is None:
            assert any(piece.start <= cut <= piece.end and floor(cut, QUARTER) != cut for cut in cuts)


def test_days_of_a_zone_at_three_quarters_of_an_hour_need_no_ledger() -> None:
    zone = ZoneInfo("Asia/Kathmandu")
    cuts = [datetime(2026, 3, day, tzinfo=zone).astimezone(UTC) for day in range(1, 31)]
    pieces = cover(cuts, datetime(2026, 5, 1, tzinfo=UTC))
    assert {piece.grain for piece in pieces} == {HOUR, QUARTER}


def test_months_are_read_from_days_and_their_edges_from_hours() -> None:
    zone = ZoneInfo("Europe/Vienna")
    cuts = [datetime(2026, month, 1, tzinfo=zone).astimezone(UTC) for month in (1, 2, 3)]
    pieces = cover(cuts, datetime(2026, 5, 1, tzinfo=UTC))
    assert [piece for piece in pieces if piece.grain == DAY] == [
        Piece(DAY, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)),
        Piece(DAY, datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC)),
    ]
    assert len(pieces) == 5
    assert {piece.grain for piece in pieces} == {DAY, HOUR}


def test_each_grain_is_made_up_of_the_next() -> None:
    assert all(longer % shorter == timedelta() for longer, shorter in itertools.pairwise(GRAINS))
