"""What is written when usage meets grants: the entries, so that what is posted agrees with what follows from the facts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from core.metering.books import Books, Opened, Posting, Replayed, differences
from core.metering.funds import Funds
from core.metering.grants import EntryKind, Grant, GrantEntry, Grants
from core.metering.journal import Journal
from core.metering.ledger import UsageRecord
from core.metering.meters import Meter
from core.plans.periods import INSTANT


class BooksNotLoaded(Exception):
    """A decision reaches back beyond what has been read of a meter's books, to `since`.

    Not a refusal: what the decision did so far is taken back, they are read, and it is made again. `instants` are where something
    begins or ends that the decision is about to add.
    """

    def __init__(self, meter: Meter, since: datetime, instants: Iterable[datetime] = ()) -> None:
        super().__init__(meter, since)
        self.meter, self.since, self.instants = meter, since, tuple(instants)


class Settled(NamedTuple):
    """What came of facts that are new: where the feature stands, the uncovered usage that they added, and what lapsed."""

    funds: Funds
    overage: int
    lapsed: int


class Bookkeeping:
    """The books of one meter within a unit of work. What it writes is taken back by the unit of work's journal."""

    def __init__(self, meter: Meter, opened: Opened, new_id: Callable[[], UUID], journal: Journal, grants: Grants) -> None:
        self.meter = meter
        self._now = opened.books.now
        self._new_id = new_id
        self._journal = journal
        self._grants = grants
        self._books = {meter: opened.books}
        self._used = dict(opened.used)
        self._posted = dict(opened.posted)

    @property
    def books(self) -> Books:
        return self._books[self.meter]

    def reaches(self, instant: datetime) -> bool:
        """Whether usage of this instant can be booked here: it lies in one of the spans."""
        return self.books.place(instant) is not None

    def count(self, record: UsageRecord) -> None:
        """The record is among the facts from now on."""
        place = self.books.place(record.occurred_at)
        if place is not None:
            self._journal.put(self._used, place, self._used.get(place, 0) + record.quantity)

    def note(self, entry: GrantEntry) -> None:
        """The entry is posted."""
        place = self.books.place(entry.occurred_at)
        if place is not None:
            kind = EntryKind.BURN if entry.kind is EntryKind.RETURN else entry.kind
            change = -entry.quantity if entry.kind is EntryKind.RETURN else entry.quantity
            self._add(Posting(place.span, entry.grant_id, kind), change)

    def is_cut_at(self, instants: Iterable[datetime]) -> bool:
        """Whether something may begin or end at these instants, as far as they are over: usage before and after each is told apart."""
        starts = {segment.start for span in self.books.spans for segment in span.segments}
        return all(instant > self._now + INSTANT or instant in starts for instant in instants)

    def put(self, grant: Grant) -> None:
        """The grant is among the facts from now on, or is voided: what `is_cut_at` of its beginning and its end."""
        others = [known for known in self.books.grants if known.id != grant.id]
        rollovers = {number: grant if known.id == grant.id else known for number, known in self.books.rollovers.items()}
        if grant not in rollovers.values():
            others.append(grant)
        ahead = [instant for instant in (grant.effective_at, grant.ends_at) if instant > self._now + INSTANT]
        until = min([self.books.until, *ahead])
        self._journal.put(self._books, self.meter, replace(self.books, grants=others, rollovers=rollovers, until=until))

    def knows(self, grant: Grant) -> bool:
        """Whether the grant is in these books: it was there, or is to come, when they begin."""
        return any(known.id == grant.id for known in (*self.books.grants, *self.books.rollovers.values()))

    def left_of(self, grant: Grant) -> int:
        """What is not burnt or trimmed of it, by what is posted."""
        left = self.books.opening.get(grant.id, grant.quantity)
        for posting, quantity in self._posted.items():
            if posting.grant == grant.id:
                left += quantity - grant.quantity if posting.kind is EntryKind.ROLL else -quantity
        return left

    def left_of_id(self, grant: UUID) -> int:
        """As `left_of`, by the grant's id."""
        return self.left_of(self._grant(grant))

    def burnt_of(self, grant: Grant) -> int:
        """What is burnt of it in these books, by what is posted."""
        return sum(quantity for posting, quantity in self._posted.items() if posting[1:] == (grant.id, EntryKind.BURN))

    def replayed(self) -> Replayed:
        return self.books.replay(self._used)

    def settle(self, before: Replayed | None = None, record: UsageRecord | None = None) -> tuple[Settled, list[GrantEntry]]:
        """Posts what the facts say and the entries do not; `before` is how it was without the record."""
        after = self.replayed()
        entries = list(self._entries(after, record))
        lapsed: dict[UUID, int] = {}
        for entry in entries:
            if self._grant(entry.grant_id).ends_at <= self._now + INSTANT:
                lapsed[entry.grant_id] = lapsed.get(entry.grant_id, 0) + _returned(entry)
        overage = 0 if before is None else sum(after.uncovered.values()) - sum(before.uncovered.values())
        return Settled(after.funds, overage, sum(max(quantity, 0) for quantity in lapsed.values())), entries

    def _entries(self, after: Replayed, record: UsageRecord | None) -> Iterator[GrantEntry]:
        for posting, difference in differences(after, self._posted).items():
            if self._is_new(posting, difference):
                continue
            self._add(posting, difference)
            yield self._entry(posting, difference, record)

    def _is_new(self, posting: Posting, quantity: int) -> bool:
        """A rollover that is not there yet is a grant, and not an entry."""
        grant = self.books.rollovers.get(posting.span)
        if posting.kind is not EntryKind.ROLL or grant is None or grant.quantity or posting in self._posted:
            return False
        self.put(made := replace(grant, quantity=quantity, created_at=self._now))
        self._grants.save(made)
        self._add(posting, quantity)
        return True

    def _entry(self, posting: Posting, difference: int, record: UsageRecord | None) -> GrantEntry:
        span = self.books.spans[posting.span]
        kind = EntryKind.RETURN if posting.kind is EntryKind.BURN and difference < 0 else posting.kind
        last = min(span.end - INSTANT, self._now)
        at = last if posting.kind in (EntryKind.TRIM, EntryKind.ROLL) else min(record.occurred_at if record else self._now, last)
        return GrantEntry(
            self._new_id(),
            self.meter.customer_id,
            posting.grant,
            self.meter.feature,
            kind,
            abs(difference) if kind in (EntryKind.BURN, EntryKind.RETURN) else difference,
            max(at, span.start),
            span.period,
            record and record.id,
            self._now,
        )

    def _grant(self, id: UUID) -> Grant:
        return next(grant for grant in (*self.books.grants, *self.books.rollovers.values()) if grant.id == id)

    def _add(self, posting: Posting, quantity: int) -> None:
        self._journal.put(self._posted, posting, self._posted.get(posting, 0) + quantity)


def _returned(entry: GrantEntry) -> int:
    match entry.kind:
        case EntryKind.RETURN:
            return entry.quantity
        case EntryKind.BURN:
            return -entry.quantity
        case _:
            return 0
