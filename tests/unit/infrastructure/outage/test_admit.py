"""What is admitted while the storage is away, and that each admitted decision is booked once, whatever happens meanwhile."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StorageUnavailable
from core.metering.balance import LimitExceeded
from core.metering.consume_usage import Consumed, Mode
from core.metering.idempotency import KEPT_FOR, IdempotencyKeyReused, Replay
from infrastructure.outage.state import Phase
from tests.unit.fakes.examples import ACME, PERIOD, PRO
from tests.unit.fakes.metering import FakeStore
from tests.unit.infrastructure.outage.process import Process, Storage, call


@pytest.fixture
def storage() -> Storage:
    return Storage(FakeStore([PRO], [ACME]))


@pytest.fixture
async def process(storage: Storage, tmp_path: Path) -> Process:
    """It has seen the customer, whose limit is 10 and who has used 1."""
    process = Process(storage, tmp_path / "journal", age_max=timedelta(days=30))
    await process.recovery.learn()
    await process.consume()
    storage.is_away = True
    return process


def used(storage: Storage) -> int:
    return sum(record.quantity for record in storage.store.ledger)


def size_in(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.glob("*.journal"))


async def back(process: Process) -> None:
    process.storage.is_away = process.storage.loses_commits = False
    await process.recovery.look()
    assert process.outage.phase is Phase.NORMAL
    assert process.journal.waiting == 0


async def test_what_fits_is_admitted_and_booked_under_the_ids_that_were_told(process: Process, storage: Storage) -> None:
    first, second, third = [await process.consume(quantity) for quantity in (6, 4, 3)]
    assert isinstance(first, Consumed)
    assert first.degraded
    assert isinstance(second, LimitExceeded)
    assert (second.balance.used, second.requested) == (7, 4)
    assert isinstance(third, Consumed)
    assert used(storage) == 1
    await back(process)
    assert [record.id for record in storage.store.ledger[1:]] == [first.records[0].id, third.records[0].id]
    assert not (await process.consume(0, mode=Mode.RECORD)).degraded


async def test_work_that_is_done_is_always_admitted(process: Process, storage: Storage) -> None:
    done = await process.consume(20, mode=Mode.RECORD)
    assert (done.degraded, done.over_limit) == (True, True)
    await back(process)
    assert used(storage) == 21
    assert storage.store.ledger[-1].overage == 11


async def test_work_of_an_earlier_period_is_booked_there(process: Process, storage: Storage) -> None:
    occurred_at = PERIOD.start - timedelta(days=2)
    assert (await process.consume(2, mode=Mode.RECORD, occurred_at=occurred_at)).degraded
    assert (await process.consume(9)).degraded
    process.now += timedelta(days=20)  # by now it could not be recorded any more
    await back(process)
    assert [record.occurred_at for record in storage.store.ledger][1] == occurred_at


async def test_a_balance_whose_period_has_ended_counts_from_zero(process: Process) -> None:
    assert (await process.consume(9)).degraded
    process.now = PERIOD.end
    assert isinstance(await process.consume(11), LimitExceeded)
    assert (await process.consume(10)).degraded
    assert isinstance(await process.consume(1), LimitExceeded)
    await back(process)
    assert [record.quantity for record in process.storage.store.ledger if record.occurred_at in PERIOD] == [1, 9]


async def test_what_is_booked_is_not_counted_twice_in_the_next_outage(process: Process, storage: Storage) -> None:
    assert (await process.consume(5)).degraded
    await back(process)
    storage.is_away = True
    assert (await process.consume(4)).degraded
    assert isinstance(await process.consume(1), LimitExceeded)


async def test_a_process_that_does_not_know_the_customer_refuses(storage: Storage, tmp_path: Path) -> None:
    process = Process(storage, tmp_path)
    await process.recovery.learn()
    storage.is_away = True
    assert isinstance(await process.consume(), StorageUnavailable)


async def test_a_feature_that_does_not_admit_is_refused(process: Process) -> None:
    outcomes = await process.consume_usage.execute([call(1, feature="minutes"), call(1)])
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable, Consumed]


@pytest.mark.parametrize("bounds", [{"bytes_max": 1_000}, {"age_max": timedelta(minutes=5)}])
async def test_a_journal_that_is_full_or_old_admits_nothing_more(storage: Storage, tmp_path: Path, bounds: dict[str, Any]) -> None:
    process = Process(storage, tmp_path, **bounds)
    await process.recovery.learn()
    await process.consume()
    storage.is_away = True
    admitted = 0
    while isinstance(await process.consume(1, mode=Mode.RECORD), Consumed):
        admitted += 1
        process.now += timedelta(minutes=2)
        assert admitted < 20
    assert admitted
    assert size_in(tmp_path) <= bounds.get("bytes_max", 1 << 20)
    await back(process)
    assert used(storage) == 1 + admitted
    storage.is_away = True
    assert isinstance(await process.consume(1), Consumed)


@pytest.fixture
async def full(process: Process, monkeypatch: pytest.MonkeyPatch) -> Process:
    """Of a limit of 10 it has admitted 5; then its disk was full."""
    assert isinstance(await process.consume(5, "a"), Consumed)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", fail)
        refused = await process.consume(4, "b")
    assert isinstance(refused, StorageUnavailable)
    assert not refused.outcome_unknown
    return process


async def test_what_cannot_be_written_is_neither_booked_nor_counted(full: Process) -> None:
    assert isinstance(await full.consume(4, "b"), StorageUnavailable)
    await back(full)
    assert used(full.storage) == 6
    full.storage.is_away = True
    assert isinstance(await full.consume(4, "b"), Consumed)


async def test_what_was_refused_is_not_booked_by_the_next_process_either(full: Process) -> None:
    full.crash()
    await back(Process(full.storage, full.journal.directory))
    assert used(full.storage) == 6


async def test_a_repeat_gets_the_same_answer_during_the_outage_and_after_it(process: Process) -> None:
    assert isinstance(await process.consume(2, "k"), Consumed)
    for _ in range(2):
        assert await process.consume(2, "k") == Replay(b"200 \n2")
        assert isinstance(await process.consume(3, "k"), IdempotencyKeyReused)
        await back(process)
    assert used(process.storage) == 3


async def test_in_one_list_a_repeat_gets_the_same_answer(process: Process) -> None:
    outcomes = await process.consume_usage.execute([call(2, "k"), call(2, "k"), call(5), call(5)])
    assert [type(outcome) for outcome in outcomes] == [Consumed, Replay, Consumed, LimitExceeded]
    await back(process)
    assert used(process.storage) == 8


async def test_where_a_commits_outcome_is_unknown_only_a_call_with_a_key_is_admitted(process: Process, storage: Storage) -> None:
    storage.is_away, storage.loses_commits = False, True
    unknown = await process.consume(2)
    assert isinstance(unknown, StorageUnavailable)
    assert unknown.outcome_unknown
    assert (await process.consume(3, "k")).degraded
    await back(process)
    assert used(storage) == 6


async def test_a_call_that_may_have_been_booked_is_not_refused_meanwhile(process: Process, storage: Storage) -> None:
    storage.is_away, storage.loses_commits = False, True
    assert (await process.consume(5, "other")).degraded
    storage.loses_commits = True
    process.outage.end()
    unknown = await process.consume(5, "k")  # it is booked, and nobody knows
    assert isinstance(unknown, StorageUnavailable)
    assert unknown.outcome_unknown


async def test_a_decision_that_cannot_be_booked_is_put_aside_and_the_others_are_booked(process: Process, storage: Storage) -> None:
    storage.is_away = False
    await process.consume(1, "taken")
    storage.is_away = True
    await process.consume(2, "taken")
    await process.consume(3)
    await back(process)
    assert used(storage) == 5
    (letter,) = (process.journal.directory / "rejected.ndjson").read_text().splitlines()
    assert '"IdempotencyKeyReused"' in letter


async def test_what_a_customer_used_who_was_deleted_meanwhile_is_put_aside(process: Process, storage: Storage) -> None:
    await process.consume(2)
    del storage.store.customers["acme"]
    await back(process)
    assert used(storage) == 1
    assert '"CustomerNotFound"' in (process.journal.directory / "rejected.ndjson").read_text()


async def test_what_is_older_than_keys_are_kept_is_put_aside(process: Process, storage: Storage) -> None:
    await process.consume(2)
    process.now += KEPT_FOR
    await back(process)
    assert used(storage) == 1
    assert '"InvalidOccurredAt"' in (process.journal.directory / "rejected.ndjson").read_text()


async def test_a_process_that_was_killed_leaves_what_the_next_one_books(process: Process, storage: Storage) -> None:
    await process.consume(2)
    (file,) = process.journal.directory.glob("*.journal")
    other = Process(storage, process.journal.directory)
    other.journal.adopt()
    assert other.journal.adopted == [], "its owner lives"
    process.crash()
    with file.open("ab") as torn:
        torn.write(b"0123abcd {")
    await back(other)
    assert used(storage) == 3
    assert [path.name for path in process.journal.directory.iterdir()] == []


async def test_a_line_that_was_altered_is_put_aside(process: Process, storage: Storage) -> None:
    await process.consume(2)
    await process.consume(3)
    process.crash()
    (file,) = process.journal.directory.glob("*.journal")
    file.write_bytes(file.read_bytes().replace(b'"sessions",2', b'"sessions",9'))
    await back(Process(storage, process.journal.directory))
    assert used(storage) == 4
    assert '"Unreadable"' in (process.journal.directory / "rejected.ndjson").read_text()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("consume"), st.integers(1, 3), st.sampled_from([None, "a", "b", "c"])),
        st.tuples(st.sampled_from(["away", "back", "lossy", "look", "crash"])),
    ),
    max_size=40,
)


@given(STEPS)
async def test_every_admitted_decision_is_booked_once_and_one_process_never_exceeds_the_limit(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        storage = Storage(FakeStore([PRO], [ACME]))
        process = Process(storage, Path(name))
        await process.recovery.learn()
        keyed: dict[str, int] = {}
        unkeyed = lost = 0
        for step, *arguments in steps:
            match step:
                case "away":
                    storage.is_away = True
                case "back":
                    storage.is_away = storage.loses_commits = False
                case "lossy":
                    storage.loses_commits = True
                case "look":
                    await process.recovery.look()
                case "crash":
                    process.crash()
                    process = Process(storage, Path(name))
                    await process.recovery.learn()
                case _:
                    quantity, key = arguments
                    quantity = len(key) if key else quantity  # a key stands for one input
                    outcome = await process.consume(quantity, key)
                    if key and isinstance(outcome, Consumed | Replay):
                        keyed[key] = quantity
                    elif isinstance(outcome, Consumed):
                        unkeyed += quantity
                    elif isinstance(outcome, StorageUnavailable) and outcome.outcome_unknown:
                        lost += quantity
        await back(process)
        booked = used(storage)
        told = unkeyed + sum(keyed.values())
        assert told <= booked <= told + lost
        assert storage.store.counters == {} or {counter.used for counter in storage.store.counters.values()} == {booked}
        if not any(step == "lossy" or step == "crash" for step, *_ in steps):
            assert booked == told <= 10
        process.crash()
        assert size_in(Path(name)) == 0
