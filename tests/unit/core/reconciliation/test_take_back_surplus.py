"""What the ledger has too much is taken back from the records that have it, as far as nobody has given it back before."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metering.journal import Journal
from core.metering.ledger import Origin, UsageRecord
from core.metering.meters import Meter
from core.reconciliation.drift import Missing, MissingOfMeter, MissingUsage
from core.reconciliation.repair_usage import REASON, RepairCommand, RepairUsage
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, PERIOD, PERIOD_BEFORE, PRO
from tests.unit.fakes.metering import FakeStore, FakeUnitOfWork

LAST_MONTH = NOW - timedelta(days=30)
SESSIONS = Meter("acme", "sessions")


@dataclass
class Past:
    """Sessions that took place, by id, and what somebody made of their ledger."""

    store: FakeStore = field(default_factory=lambda: FakeStore([PRO], [ACME]))
    sessions: dict[str, datetime] = field(default_factory=dict)

    def booked(self, session: str, at: datetime = NOW) -> UsageRecord:
        return self._entry(1, at, Origin("sessions", "key 1", session))

    def corrected(self, record: UsageRecord, quantity: int = -1, source: str = "correction") -> UsageRecord:
        origin = Origin(source, "admin", record.origin.reference)
        return self._entry(quantity, record.occurred_at, origin, record.id)

    def _entry(self, quantity: int, at: datetime, origin: Origin, corrects: UUID | None = None) -> UsageRecord:
        entry = UsageRecord(self.store.new_id(), "acme", "sessions", quantity, at, NOW, origin, corrects=corrects)
        self.store.ledger.append(entry)
        return entry

    def missing(self) -> list[MissingUsage]:
        return [item for id, at in self.sessions.items() if (item := self._missing(id, at)).quantity]

    def _missing(self, id: str, at: datetime) -> MissingUsage:
        """As the SQL says it: what others have given back of a surplus is no part of it, and it is where the session was not."""
        ledger = self.store.ledger
        mine = [entry for entry in ledger if (entry.origin.source, entry.origin.reference) == ("sessions", id)]
        difference = 1 - sum(entry.quantity for entry in mine)
        if difference < 0:
            ids = {entry.id for entry in mine}
            given_back = -sum(entry.quantity for entry in ledger if entry.corrects in ids and entry.origin.source != "sessions")
            difference = min(difference + max(given_back, 0), 0)
            at = max((entry.occurred_at for entry in mine if self._left(entry) > 0 and entry.occurred_at != at), default=at)
        return MissingUsage("acme", "sessions", "sessions", id, difference, at)

    def _left(self, entry: UsageRecord) -> int:
        return entry.quantity + sum(other.quantity for other in self.store.ledger if other.corrects == entry.id)

    async def repaired(self) -> int:
        (written,) = await RepairUsage(lambda: RepairingUnitOfWork(self), lambda: NOW).execute(calls(RepairCommand("acme", ["sessions"])))
        assert isinstance(written, int)
        return written

    def totals(self) -> list[int]:
        """What each record amounts to."""
        return [self._left(entry) for entry in self.store.ledger if entry.corrects is None]


class FakeMissing(Missing):
    def __init__(self, journal: Journal, past: Past) -> None:
        super().__init__(journal)
        self._past = past

    async def find(self, keys: Sequence[Meter]) -> list[MissingOfMeter]:
        return [MissingOfMeter(SESSIONS, self._past.missing())]


class RepairingUnitOfWork(FakeUnitOfWork):
    missing: FakeMissing

    def __init__(self, past: Past) -> None:
        super().__init__(past.store)
        self._past = past

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.missing = FakeMissing(self.journal, self._past)
        return self


@pytest.fixture
def past() -> Past:
    return Past(sessions={"monday": NOW})


async def test_a_surplus_is_taken_back_by_a_correction_of_a_record_that_has_it(past: Past) -> None:
    for _ in range(3):
        past.booked("monday")
    assert await past.repaired() == 2
    corrections = past.store.ledger[3:]
    assert [(entry.quantity, entry.reason, entry.origin) for entry in corrections] == [
        (-1, REASON, Origin("sessions", REASON, "monday"))
    ] * 2
    assert past.totals() == [1, 0, 0]
    assert past.store.counters[SESSIONS].used == 1


async def test_a_surplus_in_another_period_is_taken_back_there(past: Past) -> None:
    past.sessions["monday"] = LAST_MONTH
    past.booked("monday", LAST_MONTH)
    past.booked("monday")
    past.sessions["tuesday"] = NOW
    past.booked("tuesday", LAST_MONTH - timedelta(days=1))
    past.booked("tuesday")
    assert await past.repaired() == 2
    assert past.totals() == [1, 0, 0, 1]


async def test_of_several_records_those_at_the_instant_of_the_surplus_come_first_and_then_the_latest(past: Past) -> None:
    for at in (NOW, LAST_MONTH, NOW, LAST_MONTH):
        past.booked("monday", at)
    assert await past.repaired() == 3
    assert past.totals() == [1, 0, 0, 0]


async def test_what_others_have_given_back_is_not_taken_back_again(past: Past) -> None:
    past.corrected(past.booked("monday"))
    past.booked("monday")
    assert await past.repaired() == 0
    assert past.totals() == [0, 1]


async def test_a_record_that_was_corrected_gives_only_what_is_left_of_it(past: Past) -> None:
    for _ in range(2):
        past.booked("monday")
    past.corrected(past.booked("monday"))
    assert await past.repaired() == 1
    assert past.totals() == [1, 0, 0]


async def test_what_is_missing_is_booked_before_a_surplus_is_taken_back(past: Past) -> None:
    """A period that stands below zero, since a record was deleted that had been refunded, has something to give again by then."""
    past.corrected(past.booked("tuesday"))
    del past.store.ledger[0]
    past.sessions["tuesday"] = NOW
    for _ in range(2):
        past.booked("monday")
    assert await past.repaired() == 2
    assert past.missing() == []
    assert past.store.used_within("acme", "sessions", PERIOD) == 1


HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(["book", "book", "correct", "correct as the product"]),
        st.sampled_from(["monday", "tuesday"]),
        st.sampled_from([NOW, LAST_MONTH]),
        st.integers(0, 5),
    ),
    max_size=15,
)


@given(HAPPENINGS)
async def test_whatever_was_booked_and_corrected_one_repair_makes_it_agree_and_leaves_nothing_below_zero(
    happenings: Sequence[tuple[str, str, datetime, int]],
) -> None:
    past = Past(sessions={"monday": NOW, "tuesday": LAST_MONTH})
    records: list[UsageRecord] = []
    for what, session, at, age in happenings:
        standing = [record for record, total in zip(records, past.totals(), strict=True) if total > 0]
        if what == "book":
            records.append(past.booked(session, at))
        elif standing:
            past.corrected(standing[age % len(standing)], source="sessions" if what == "correct as the product" else "correction")
    await past.repaired()
    assert past.missing() == []
    assert min(past.totals()) >= 0
    assert all(past.store.used_within("acme", "sessions", period) >= 0 for period in (PERIOD, PERIOD_BEFORE))
    assert await past.repaired() == 0
