"""The periods that a feature was counted over, one after the other, and what was in force in each: what a replay goes along."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from core.plans.periods import INSTANT, Billing, Period
from core.plans.plan import Metered
from core.plans.terms import Terms, TermsHistory


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` on a feature was metered so, by this calendar."""

    start: datetime
    billing: Billing
    entitlement: Metered

    def period(self, at: datetime) -> Period:
        """The one that contains the instant."""
        return self.billing.period(self.entitlement.reset, at)


@dataclass(frozen=True, slots=True)
class Segment:
    """Usage within `start <= t < end`: nothing else happens between the two, so that its order does not matter."""

    start: datetime
    end: datetime
    entitlement: Metered


class Closing(NamedTuple):
    """What is left of the allowance when a span ends goes over to the next ones, `until` then; at most `cap` in all (None: any)."""

    allowance: int | None
    cap: int | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """A period, or the part of one before another calendar took over: usage counts in exactly one span.

    `closing` is None where nothing rolls over when the span ends: it has not ended, or it was cut off, or nothing says so.
    """

    period: Period
    end: datetime
    segments: Sequence[Segment] = ()
    closing: Closing | None = None

    @property
    def start(self) -> datetime:
        return self.period.start


def stretches(history: TermsHistory, metered: Callable[[Terms], Metered], since: datetime, now: datetime) -> list[Stretch]:
    """How the feature was metered from `since` on, until now. The first one reaches back beyond the first terms, if need be."""
    found: list[Stretch] = []
    for start in [since, *history.turns(since, now + INSTANT)]:
        terms = history.at(start) or history.first
        stretch = Stretch(start, terms.billing, metered(terms))
        if not found or (found[-1].billing, found[-1].entitlement) != (stretch.billing, stretch.entitlement):
            found.append(stretch)
    return found


def timeline(
    history: TermsHistory, metered: Callable[[Terms], Metered], *, since: datetime, now: datetime, instants: Iterable[datetime] = ()
) -> list[Span]:
    """The spans from the one that contains `since` to the one that contains `now`, cut into segments.

    A segment begins where a span does, where other terms take effect, and at each of `instants`, as far as they are over or come
    right after now. The last span's last segment also has what is dated ahead.
    """
    known = stretches(history, metered, since, now)
    spans = _spans(known, since, now, history.begins)
    if spans[0].start < since:  # other terms may have been in force there
        known = stretches(history, metered, spans[0].start, now)
        spans = _spans(known, since, now, history.begins)
    cuts = sorted({*(stretch.start for stretch in known), *instants})
    return [replace(span, segments=_segments(span, known, [cut for cut in cuts if cut <= now + INSTANT])) for span in spans]


def _spans(known: Sequence[Stretch], since: datetime, now: datetime, begins: datetime) -> list[Span]:
    spans: list[Span] = []
    stretch = _at(known, since)
    period = stretch.period(since)
    while True:
        other = _taken_over(known, stretch, period)
        if other is not None:
            spans.append(Span(period, period.end))
            stretch, period = other, other.period(other.start)
        elif now < period.end:
            return [*spans, Span(period, period.end)]
        else:
            spans.append(_ended(period, _at(known, period.end - INSTANT), begins))
            stretch = _at(known, period.end)
            period = stretch.period(period.end)
        _cut(spans, period.start)


def _taken_over(known: Sequence[Stretch], stretch: Stretch, period: Period) -> Stretch | None:
    """The calendar that the period gave way to before it ended."""
    return next(
        (later for later in known if stretch.start < later.start < period.end and later.period(later.start) != period),
        None,
    )


def _ended(period: Period, last: Stretch, begins: datetime) -> Span:
    """A period that is over, with what it leaves behind: nothing, where there was no customer yet."""
    rollover = last.entitlement.rollover
    if rollover is None or period.end <= begins:
        return Span(period, period.end)
    until = period.end
    for _ in range(rollover.periods):
        until = last.period(until).end
    return Span(period, period.end, closing=Closing(last.entitlement.limit, rollover.max, until))


def _cut(spans: list[Span], start: datetime) -> None:
    """Lets the spans end where the next one begins; those that it contains are gone."""
    while spans and spans[-1].start >= start:
        spans.pop()
    if spans and spans[-1].end > start:
        spans[-1] = replace(spans[-1], end=start, closing=None)


def _segments(span: Span, known: Sequence[Stretch], cuts: Sequence[datetime]) -> list[Segment]:
    starts = [span.start, *(cut for cut in cuts if span.start < cut < span.end)]
    return [Segment(start, end, _at(known, start).entitlement) for start, end in zip(starts, [*starts[1:], span.end], strict=True)]


def _at(known: Sequence[Stretch], instant: datetime) -> Stretch:
    return known[max(bisect_right(known, instant, key=lambda stretch: stretch.start) - 1, 0)]
