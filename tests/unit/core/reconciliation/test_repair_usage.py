"""Repairing what the ledger lacks, once: by whoever asks, and however often."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Self

import pytest

from core.metering.account import CustomerNotFound
from core.metering.journal import Journal
from core.metering.meters import Meter
from core.plans.periods import Period
from core.reconciliation.drift import Missing, MissingOfMeter, MissingUsage
from core.reconciliation.repair_usage import REASON, RepairCommand, RepairUsage
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, PERIOD, PRO
from tests.unit.fakes.metering import Counter, FakeStore, FakeUnitOfWork

LAST_MONTH = NOW - timedelta(days=30)
SHOWN = [
    MissingUsage("acme", "sessions", "product", "this month", 1, NOW),
    MissingUsage("acme", "sessions", "product", "last month", 1, LAST_MONTH),
    MissingUsage("acme", "minutes", "product", "this month", 90, NOW, "eu"),
]


class FakeMissing(Missing):
    """What SHOWN shows and the ledger does not."""

    def __init__(self, journal: Journal, store: FakeStore) -> None:
        super().__init__(journal)
        self._store = store

    async def find(self, keys: Sequence[Meter]) -> list[MissingOfMeter]:
        booked = {(record.feature, record.origin.reference) for record in self._store.ledger}
        missing = [item for item in SHOWN if (item.feature, item.reference) not in booked]
        return [MissingOfMeter(meter, [item for item in missing if item.feature == meter.feature]) for meter in keys]


class RepairingUnitOfWork(FakeUnitOfWork):
    missing: FakeMissing

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.missing = FakeMissing(self.journal, self.store)
        return self


@pytest.fixture
def store() -> FakeStore:
    return FakeStore([PRO], [ACME])


@pytest.fixture
def repair(store: FakeStore) -> RepairUsage:
    return RepairUsage(lambda: RepairingUnitOfWork(store), lambda: NOW)


def used(store: FakeStore, period: Period = PERIOD) -> tuple[int, int]:
    """Sessions and seconds, by the ledger."""
    sessions, seconds = (store.used_within("acme", feature, period) for feature in ("sessions", "minutes"))
    return sessions, seconds


async def test_what_is_missing_is_booked_in_the_period_in_which_it_happened(store: FakeStore, repair: RepairUsage) -> None:
    assert await repair.execute(calls(RepairCommand("acme", ["sessions", "minutes"]))) == [3]
    assert used(store) == (1, 90)
    assert used(store, Period(LAST_MONTH, PERIOD.start)) == (1, 0)
    assert {(record.reason, record.origin.source, record.origin.recorded_by) for record in store.ledger} == {(REASON, "product", REASON)}
    assert [record.dimension for record in store.ledger] == [None, None, "eu"]
    assert store.counters[Meter("acme", "sessions")] == Counter(PERIOD, 1)


async def test_a_wrong_counter_is_rebuilt_with_what_was_missing(store: FakeStore, repair: RepairUsage) -> None:
    store.counters[Meter("acme", "sessions")] = Counter(PERIOD, 7)
    await repair.execute(calls(RepairCommand("acme", ["sessions"])))
    assert store.counters[Meter("acme", "sessions")] == Counter(PERIOD, 1)


async def test_only_the_features_that_are_named_are_repaired(store: FakeStore, repair: RepairUsage) -> None:
    assert await repair.execute(calls(RepairCommand("acme", ["minutes"]))) == [1]
    assert used(store) == (0, 90)


@pytest.mark.parametrize("together", [True, False])
async def test_repairing_again_books_nothing_twice(store: FakeStore, repair: RepairUsage, together: bool) -> None:
    commands = [RepairCommand("acme", ["sessions"]), RepairCommand("acme", ["sessions", "minutes"]), RepairCommand("acme", ["minutes"])]
    if together:
        outcomes = await repair.execute(calls(*commands))
    else:
        outcomes = [(await repair.execute(calls(command)))[0] for command in commands]
    assert outcomes == [2, 1, 0]
    assert used(store) == (1, 90)


async def test_a_customer_that_is_gone_is_told_so(repair: RepairUsage) -> None:
    (outcome,) = await repair.execute(calls(RepairCommand("nobody", ["sessions"])))
    assert isinstance(outcome, CustomerNotFound)
