"""What lay above the limit, bucket by bucket: pure arithmetic on sums."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from core.history.ports import Granted
from core.metering.timeline import Span
from core.plans.periods import Period
from core.plans.plan import Enforcement

NOTHING_GRANTED = Granted(0, 0)


class Standing(NamedTuple):
    """One bucket of a feature. `limit` is what might have been used in all when the bucket ended, or may by now; None: unlimited."""

    used: int
    overage: int
    limit: int | None


def cuts_of(buckets: Sequence[Period], spans: Sequence[Span]) -> list[datetime]:
    """Where sums have to begin and end, so that usage can be held against the limits of the spans that it counted in.

    The sums of a limited span begin with the span, also where that is before the first bucket.
    """
    bounds = {bound for bucket in buckets for bound in (bucket.start, bucket.end)}
    last = max(bounds)
    starts = {span.start for span in spans if _limit(span) is not None and span.start < last and span.end > buckets[0].start}
    return sorted(bounds | starts)


def standings(
    buckets: Sequence[Period], spans: Sequence[Span], cuts: Sequence[datetime], used: Sequence[int], granted: Sequence[Granted]
) -> list[Standing]:
    """Where each bucket stands, given what was used, and granted, between one cut and the next.

    A span has one limit: the one that it ended with. What a bucket adds above it, beyond what grants paid for, is the bucket's overage;
    so the overages of all buckets of a span add up to the span's.
    """
    added = list(_added(spans, cuts, used, granted))
    found: list[Standing] = []
    at = 0
    for bucket in buckets:
        while cuts[at] < bucket.start:
            at += 1
        total = overage = 0
        limit: int | None = None
        while at < len(used) and cuts[at] < bucket.end:
            total += used[at]
            overage += added[at].overage
            limit = added[at].limit
            at += 1
        found.append(Standing(total, overage, limit))
    return found


def used_up(
    buckets: Sequence[Period], spans: Sequence[Span], cuts: Sequence[datetime], used: Sequence[int], granted: Sequence[Granted]
) -> list[bool]:
    """Of each bucket, whether it began with nothing left of a hard limit, so that nothing could be used in it."""
    found: list[bool] = []
    starts = {bucket.start for bucket in buckets}
    number, summed = 0, 0
    for start, standing in zip(cuts, _added(spans, cuts, used, granted), strict=False):
        while number + 1 < len(spans) and spans[number].end <= start:
            number, summed = number + 1, 0
        if start in starts:
            hard = spans[number].segments[-1].entitlement.enforcement is Enforcement.HARD
            found.append(hard and standing.limit is not None and summed >= standing.limit)
        summed += standing.used
    return found[: len(buckets)]


def _added(spans: Sequence[Span], cuts: Sequence[datetime], used: Sequence[int], granted: Sequence[Granted]) -> Iterator[Standing]:
    """What each interval adds, and the limit at its end."""
    number, summed, burnt, above = 0, 0, 0, 0
    for start, quantity, grants in zip(cuts, used, granted or [NOTHING_GRANTED] * len(used), strict=False):
        while number + 1 < len(spans) and spans[number].end <= start:
            number, summed, burnt, above = number + 1, 0, 0, 0
        summed, burnt = summed + quantity, burnt + grants.burnt
        allowance = _limit(spans[number])
        before = above
        above = 0 if allowance is None else max(summed - allowance - burnt, 0)
        yield Standing(quantity, above - before, None if allowance is None else allowance + burnt + grants.left)


def _limit(span: Span) -> int | None:
    return span.segments[-1].entitlement.limit
