"""Which rollups, and which stretches of the ledger, together make up a stretch of time: pure, and exact to the microsecond."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

QUARTER: Final = timedelta(minutes=15)
"""What the days of every time zone in use can be put together from."""
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
GRAINS: Final = (DAY, HOUR, QUARTER)
"""How long a rollup is, from the longest on; each is made up of the next."""

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)

Stretch = tuple[datetime, datetime]


class Piece(NamedTuple):
    """A half-open stretch, and how long the rollups are that it is to be read from; None: from the ledger itself."""

    grain: timedelta | None
    start: datetime
    end: datetime


def floor(instant: datetime, grain: timedelta) -> datetime:
    """When the rollup began that the instant lies in, by UTC."""
    return instant - (instant - _EPOCH) % grain


def ceiling(instant: datetime, grain: timedelta) -> datetime:
    """The first beginning of a rollup that is not before the instant."""
    rest = (instant - _EPOCH) % grain
    return instant + (grain - rest) if rest else instant


def cover(cuts: Sequence[datetime], rolled_until: datetime | None, stale: Iterable[datetime] = ()) -> list[Piece]:
    """What lies between the first cut and the last, each instant in exactly one piece.

    No rollup that is named reaches across a cut or beyond `rolled_until`, or has one of the quarter hours in it that begin at `stale`.
    """
    first, last = cuts[0], cuts[-1]
    if rolled_until is None or rolled_until <= first:
        return [Piece(None, first, last)]
    ledger: list[Stretch] = []
    rest: list[Stretch] = []
    at, end = first, min(last, rolled_until)
    for start in sorted(stale):
        if start + QUARTER <= at or start >= end:
            continue
        _join(rest, at, start)
        _join(ledger, max(at, start), min(start + QUARTER, end))
        at = max(at, min(start + QUARTER, end))
    _join(rest, at, end)
    _join(ledger, end, last)
    pieces: list[Piece] = []
    for grain in GRAINS:
        finer: list[Stretch] = []
        for stretch in rest:
            pieces += _whole(stretch, grain, cuts, finer)
        rest = finer
    return pieces + [Piece(None, *stretch) for stretch in (*rest, *ledger)]


def _whole(stretch: Stretch, grain: timedelta, cuts: Sequence[datetime], finer: list[Stretch]) -> list[Piece]:
    """The stretches of whole rollups that no cut divides; what is left goes to `finer`."""
    start, end = stretch
    first, last = ceiling(start, grain), floor(end, grain)
    if first >= last:
        _join(finer, start, end)
        return []
    pieces = []
    _join(finer, start, first)
    at = first
    for cut in cuts[bisect_right(cuts, first) : bisect_left(cuts, last)]:
        divided = floor(cut, grain)
        if divided == cut or divided < at:
            continue
        if at < divided:
            pieces.append(Piece(grain, at, divided))
        _join(finer, divided, divided + grain)
        at = divided + grain
    if at < last:
        pieces.append(Piece(grain, at, last))
    _join(finer, last, end)
    return pieces


def _join(stretches: list[Stretch], start: datetime, end: datetime) -> None:
    if start >= end:
        return
    if stretches and stretches[-1][1] == start:
        stretches[-1] = (stretches[-1][0], end)
    else:
        stretches.append((start, end))
