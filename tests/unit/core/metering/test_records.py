"""What was booked for a thing, as a unit of work knows it: loaded once, and from then on what was saved."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import pytest

from core.metering.journal import Journal
from core.metering.ledger import Cause, CorrectedRecord, Origin, RecordKey, UsageRecord
from core.metering.records import NoRecords, Records
from tests.unit.fakes.examples import NOW

ORDER = Cause("acme", "sessions", "api", "order 7")


def record(id: int, reference: str | None = "order 7", feature: str = "sessions", source: str = "api") -> CorrectedRecord:
    return CorrectedRecord(UsageRecord(UUID(int=id), "acme", feature, 5, NOW, NOW, Origin(source, "key 1", reference)), 5)


class Stored(Records):
    """Two records of ORDER; notes what it is asked for."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.asked: list[Sequence[Cause]] = []

    async def find(self, keys: Sequence[RecordKey]) -> Iterable[CorrectedRecord]:
        return [known for known in (record(1), record(2)) if self.key(known) in keys]

    async def find_of(self, causes: Sequence[Cause]) -> Iterable[CorrectedRecord]:
        self.asked.append(causes)
        return [known for known in (record(1), record(2)) if known.record.cause in causes]


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def records(journal: Journal) -> Stored:
    return Stored(journal)


def test_a_records_cause_is_what_it_refers_to_by_feature_and_source() -> None:
    assert record(1).record.cause == ORDER
    assert record(1, None).record.cause is None
    others = [record(1, "order 8"), record(1, feature="minutes"), record(1, source="sessions")]
    assert ORDER not in [other.record.cause for other in others]


async def test_each_cause_is_asked_about_once(records: Stored) -> None:
    other = ORDER._replace(reference="order 8")
    for causes in ([ORDER, ORDER], [ORDER], [other, ORDER], [other], []):
        await records.load_of(causes)
    assert records.asked == [[ORDER], [other]]
    assert (records.of(ORDER), records.of(other)) == ([record(1), record(2)], [])


async def test_what_was_never_asked_about_is_a_mistake(records: Stored) -> None:
    with pytest.raises(KeyError):
        records.of(ORDER)


async def test_what_is_found_by_its_cause_is_found_by_its_key(records: Stored) -> None:
    await records.load_of([ORDER])
    assert records.get(RecordKey("acme", UUID(int=2))) == record(2)


async def test_the_last_total_that_was_saved_is_what_is_found(records: Stored, journal: Journal) -> None:
    await records.load_of([ORDER])
    mark = journal.mark()
    corrected = CorrectedRecord(record(1).record, 2)
    records.save(corrected)
    assert records.of(ORDER) == [corrected, record(2)]
    journal.undo(mark)
    assert records.of(ORDER) == [record(1), record(2)]


async def test_a_total_that_was_saved_before_is_kept(records: Stored) -> None:
    corrected = CorrectedRecord(record(2).record, 0)
    records.save(corrected)
    await records.load_of([ORDER])
    assert records.of(ORDER) == [record(1), corrected]


async def test_a_new_record_is_found_after_those_before_it_until_it_is_undone(records: Stored, journal: Journal) -> None:
    await records.load_of([ORDER])
    mark = journal.mark()
    records.save(record(3))
    records.save(CorrectedRecord(record(3).record, 1))
    assert records.of(ORDER) == [record(1), record(2), CorrectedRecord(record(3).record, 1)]
    journal.undo(mark)
    assert records.of(ORDER) == [record(1), record(2)]


def test_what_was_saved_for_a_new_thing_is_found_without_asking(records: Stored) -> None:
    new = record(4, "order 9")
    records.save(new)
    assert records.of(ORDER._replace(reference="order 9")) == [new]
    assert records.asked == []


def test_a_record_that_refers_to_nothing_is_saved_all_the_same(records: Stored) -> None:
    records.save(record(5, None))
    assert records.get(RecordKey("acme", UUID(int=5))) == record(5, None)


async def test_an_account_that_is_only_read_knows_no_records(journal: Journal) -> None:
    nothing = NoRecords(journal)
    await nothing.load([RecordKey("acme", UUID(int=1))])
    await nothing.load_of([ORDER])
    assert (nothing.get(RecordKey("acme", UUID(int=1))), nothing.of(ORDER)) == (None, [])
