"""A feature's books: the terms, the grants and the usage of some periods, and what follows from them.

Where a feature stands is a function of these facts, whatever the order in which they arrived. `replay` goes along the timeline and says
what ought to have burnt; what has been posted is compared with it, and the differences become entries.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from core.metering.funds import Funds, Source
from core.metering.grants import PRIORITY_DEFAULT, EntryKind, Grant, GrantEntry, GrantKind
from core.metering.meters import Meter
from core.metering.timeline import Span
from core.plans.periods import END, INSTANT, Period

_ALLOWANCE: Final = 2
_RANK: Final = {GrantKind.ROLLOVER: 0, GrantKind.PROMOTIONAL: 1, GrantKind.PAID: 3}


class Place(NamedTuple):
    """Where usage counts: the number of a span, and that of a segment in it."""

    span: int
    segment: int


class Posting(NamedTuple):
    """What is added up of one grant's entries within one span, by its number. Of a rollover, ROLL is all of it."""

    span: int
    grant: UUID
    kind: EntryKind


@dataclass(slots=True)
class Replayed:
    """What follows from the facts; `uncovered` is by the spans' numbers."""

    funds: Funds
    postings: dict[Posting, int] = field(default_factory=dict)
    uncovered: dict[int, int] = field(default_factory=dict)

    def post(self, posting: Posting, quantity: int) -> None:
        self.postings[posting] = self.postings.get(posting, 0) + quantity


@dataclass(frozen=True, slots=True)
class Books:
    """What does not change by usage. `opening` is what was left of each grant when the first span began.

    `rollovers` are, by the number of the span that they are left of, grants that are there or are yet to be made. `until` is when
    something happens next that nobody has to do anything for, `agreed_at` when something was agreed with the customer last.

    `now` is the clock's, or later where another process, whose clock is ahead, has booked already.
    """

    now: datetime
    until: datetime
    agreed_at: datetime
    spans: Sequence[Span]
    grants: Sequence[Grant]
    opening: Mapping[UUID, int]
    rollovers: Mapping[int, Grant]

    @property
    def period(self) -> Period:
        """The one that contains now."""
        return self.spans[-1].period

    def place(self, instant: datetime) -> Place | None:
        """Where usage of this instant counts; None before the first span and after the last."""
        for number, span in enumerate(self.spans):
            if span.start <= instant < span.end:
                return Place(number, sum(segment.start <= instant for segment in span.segments) - 1)
        return None

    def replay(self, used: Mapping[Place, int]) -> Replayed:
        """What was taken from what, given what was used where."""
        left = {grant.id: self.opening.get(grant.id, grant.quantity) for grant in self.grants}
        left |= {grant.id: 0 for grant in self.rollovers.values()}
        replayed: Replayed | None = None
        for number in range(len(self.spans)):
            replayed = self._span(number, used, left, replayed)
        assert replayed is not None, "there is a span that contains now"
        return replayed

    def _span(self, number: int, used: Mapping[Place, int], left: dict[UUID, int], before: Replayed | None) -> Replayed:
        span = self.spans[number]
        funds = Funds(None, (), span.start, self.until, self.agreed_at)
        replayed = Replayed(funds) if before is None else before
        debt = 0
        for index, segment in enumerate(span.segments):
            open = funds._replace(allowance=segment.entitlement.limit, since=segment.start, uncovered=0)
            open = open._replace(sources=self._sources(open, span, segment.start, left))
            # What nothing covered so far is covered by what there is more of now.
            wanted = funds.uncovered + used.get(Place(number, index), 0) + debt
            debt = min(wanted, 0)
            funds = open.burn(max(wanted, 0))
            for burn in open.burns(funds):
                left[burn.grant] -= burn.quantity
                replayed.post(Posting(number, burn.grant, EntryKind.BURN), burn.quantity)
        replayed.funds = funds
        replayed.uncovered[number] = funds.uncovered
        if number in self.rollovers:
            self._roll(number, funds, left, replayed)
        return replayed

    def _sources(self, funds: Funds, span: Span, at: datetime, left: Mapping[UUID, int]) -> tuple[Source, ...]:
        """In the order of burning: by priority, then by end, then by kind, then by age."""
        rest = None if funds.allowance is None else max(funds.allowance - funds.allowance_used, 0)
        allowance = Source(None, rest, span.period.resets_at)
        # An unlimited allowance burns nothing, and so comes before everything.
        ordered: list[tuple[tuple[object, ...], Source]] = [
            ((0 if rest is None else PRIORITY_DEFAULT, span.period.end, _ALLOWANCE), allowance)
        ]
        for grant in (*self.grants, *self.rollovers.values()):
            if left[grant.id] and grant.active_at(at):
                order = (grant.priority, grant.expires_at or END, _RANK[grant.kind], grant.effective_at, grant.id)
                ordered.append((order, Source(grant.id, left[grant.id], grant.expires_at)))
        return tuple(source for _, source in sorted(ordered, key=lambda item: item[0]))

    def _roll(self, number: int, funds: Funds, left: dict[UUID, int], replayed: Replayed) -> None:
        """What is left of the allowance goes over to the next period, and the oldest of what was rolled over is trimmed."""
        span, grant = self.spans[number], self.rollovers[number]
        assert span.closing is not None, "it rolls over"
        allowance, cap, _ = span.closing
        rest = 0 if allowance is None else max(allowance - funds.allowance_used, 0)
        rolled = rest if cap is None else min(rest, cap)
        left[grant.id] = rolled
        replayed.post(Posting(number, grant.id, EntryKind.ROLL), rolled)
        if cap is None:
            return
        pool = [other for other in (*self.grants, *self.rollovers.values()) if other.kind is GrantKind.ROLLOVER]
        pool = sorted((other for other in pool if other.active_at(span.end)), key=lambda other: (other.effective_at, other.id))
        excess = sum(left[other.id] for other in pool) - cap
        for other in pool:
            trimmed = max(min(excess, left[other.id]), 0)
            if trimmed:
                left[other.id] -= trimmed
                excess -= trimmed
                replayed.post(Posting(number, other.id, EntryKind.TRIM), trimmed)


class Total(NamedTuple):
    """What is added up of one grant's entries of one kind within a span, by its number; None: before the first one."""

    span: int | None
    grant: UUID
    kind: EntryKind
    quantity: int


class Opened(NamedTuple):
    """A meter's books, what was used where, and what has been posted: as they are stored."""

    books: Books
    used: Mapping[Place, int]
    posted: Mapping[Posting, int]

    def after(self, entries: Iterable[GrantEntry]) -> "Opened":
        """With entries that are not stored yet, as far as they count before the first span: they are part of the opening."""
        opening = dict(self.books.opening)
        for entry in entries:
            if entry.grant_id in opening and entry.occurred_at < self.books.spans[0].start:
                opening[entry.grant_id] += entry.change
        return self._replace(books=replace(self.books, opening=opening))


def opened(
    meter: Meter,
    spans: Sequence[Span],
    grants: Sequence[Grant],
    totals: Iterable[Total],
    used: Mapping[Place, int],
    now: datetime,
    until: datetime,
    agreed_at: datetime,
    new_id: Callable[[], UUID],
) -> Opened:
    """Books over these spans. A rollover is a grant of its own from the end of its span on; one that is not there yet is made."""
    made = {grant.effective_at: grant for grant in grants if grant.kind is GrantKind.ROLLOVER}
    rollovers = {
        number: made.get(span.end) or _rollover(meter, span.end, span.closing.until, new_id())
        for number, span in enumerate(spans)
        if span.closing is not None
    }
    posted = {Posting(number, grant.id, EntryKind.ROLL): grant.quantity for number, grant in rollovers.items() if grant.quantity}
    known = {grant.id for grant in rollovers.values()}
    opening = {grant.id: grant.quantity for grant in grants}
    for span, grant, kind, quantity in totals:
        if span is None:
            opening[grant] += quantity if kind in (EntryKind.RETURN, EntryKind.ROLL) else -quantity
        else:
            posting = Posting(span, grant, EntryKind.BURN if kind is EntryKind.RETURN else kind)
            posted[posting] = posted.get(posting, 0) + (-quantity if kind is EntryKind.RETURN else quantity)
    others = [grant for grant in grants if grant.id not in known]
    return Opened(Books(now, until, agreed_at, spans, others, opening, rollovers), used, posted)


def _rollover(meter: Meter, made_at: datetime, until: datetime, id: UUID) -> Grant:
    return Grant(
        id=id,
        customer_id=meter.customer_id,
        feature=meter.feature,
        kind=GrantKind.ROLLOVER,
        quantity=0,
        effective_at=made_at,
        expires_at=until,
        created_at=made_at,
    )


def next_event(now: datetime, period: Period, grants: Iterable[Grant], turns: Iterable[datetime]) -> datetime:
    """When something happens next by the clock alone: the period or a grant ends, a grant begins, other terms take effect."""
    instants = [period.end, *turns]
    for grant in grants:
        instants += [grant.effective_at, grant.ends_at]
    return min(instant for instant in instants if instant > now + INSTANT)


def differences(replayed: Replayed, posted: Mapping[Posting, int]) -> dict[Posting, int]:
    """What is to be posted so that it is what follows from the facts."""
    found = {posting: replayed.postings.get(posting, 0) - posted.get(posting, 0) for posting in {*replayed.postings, *posted}}
    return {posting: quantity for posting, quantity in sorted(found.items()) if quantity}


def burnt_in(span: int, postings: Mapping[Posting, int]) -> int:
    """What grants paid for within a span."""
    return sum(quantity for posting, quantity in postings.items() if (posting.span, posting.kind) == (span, EntryKind.BURN))
