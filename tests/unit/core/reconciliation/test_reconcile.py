"""What disagrees is found for everyone, page by page, and told in the period in which the usage occurred."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from pytest_mock import MockerFixture

from core.errors import DomainError
from core.metering.account import CustomerNotFound
from core.metering.ledger import UsageRecord
from core.metering.use_case import Call
from core.plans.periods import Period
from core.reconciliation.drift import Drift, DriftReader, MissingUsage, Rollups
from core.reconciliation.reconcile import PAGE_SIZE, Reconcile
from core.reconciliation.repair_usage import RepairCommand
from tests.unit.fakes.accounts import CountedAccountReader
from tests.unit.fakes.examples import ACME, NOW, ORIGIN, PERIOD, PRO
from tests.unit.fakes.metering import FakeStore

LAST_MONTH = Period(datetime(2026, 10, 1, tzinfo=PERIOD.start.tzinfo), PERIOD.start)
COUNTER_DRIFT = Drift("acme", "sessions", PERIOD, "counter", 7, 5)
MICROSECOND = timedelta(microseconds=1)


class FakeDrift(DriftReader):
    """Finds what a test says there is to find, and of these customers only."""

    def __init__(self, ids: Sequence[str] = (), counters: Sequence[Drift] = (), missing: Sequence[MissingUsage] = ()) -> None:
        self._ids, self._counters, self._missing = sorted(ids), counters, missing

    async def customers(self, after: str, limit: int) -> Sequence[str]:
        return [id for id in self._ids if id > after][:limit]

    async def count(self) -> int:
        return len(self._ids)

    async def counters(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        return [drift for drift in self._counters if drift.customer_id in customer_ids]

    async def grants(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        return []

    async def rollups(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        return []

    async def missing(self, customer_ids: Sequence[str]) -> Sequence[MissingUsage]:
        return [item for item in self._missing if item.customer_id in customer_ids]


class FakeRollups(Rollups):
    """Remembers what it was asked to mend."""

    def __init__(self) -> None:
        self.asked: list[Drift] = []

    async def mend(self, drift: Sequence[Drift]) -> None:
        self.asked += drift


class FakeRepair:
    """Remembers what it was asked to repair; writes so many records each time."""

    def __init__(self, outcome: int | DomainError = 2) -> None:
        self._outcome = outcome
        self.asked: list[RepairCommand] = []

    async def execute(self, calls: Sequence[Call[RepairCommand]]) -> Sequence[int | DomainError]:
        self.asked += [call.command for call in calls]
        return [self._outcome for _ in calls]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore([PRO], [ACME, replace(ACME, id="globex")])


def missing(quantity: int, occurred_at: datetime = NOW, customer_id: str = "acme", feature: str = "sessions") -> MissingUsage:
    return MissingUsage(customer_id, feature, "product", f"{occurred_at:%d.%m.} {quantity}", quantity, occurred_at)


def ledger_drift(recorded: int, expected: int, period: Period = PERIOD, customer_id: str = "acme", feature: str = "sessions") -> Drift:
    return Drift(customer_id, feature, period, "ledger", recorded, expected)


def book(store: FakeStore, quantity: int, at: datetime = NOW) -> None:
    store.ledger.append(UsageRecord(store.new_id(), "acme", "sessions", quantity, at, at, ORIGIN))


async def find(store: FakeStore, *items: MissingUsage, counters: Sequence[Drift] = ()) -> list[Drift]:
    reconcile = Reconcile(FakeDrift(counters=counters, missing=items), CountedAccountReader(store), FakeRepair(), FakeRollups())
    return list(await reconcile.find(["acme", "globex"]))


# Who is looked at.


def looking(*ids: str) -> Reconcile:
    return Reconcile(FakeDrift(ids), CountedAccountReader(FakeStore()), FakeRepair(), FakeRollups())


async def test_all_customers_are_looked_at_in_pages_each_of_them_once() -> None:
    ids = [f"customer-{number:03}" for number in range(2 * PAGE_SIZE + 1)]
    pages = [page async for page in looking(*ids).customers()]
    assert [len(page) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1]
    assert [id for page in pages for id in page] == ids
    assert await looking(*ids).count() == len(ids)


async def test_where_there_are_no_customers_nobody_is_looked_at() -> None:
    assert [page async for page in looking().customers()] == []
    assert await looking().count() == 0


@pytest.mark.parametrize("only", ["acme", ""])
async def test_one_customer_can_be_looked_at_alone(only: str) -> None:
    reconcile = looking("acme", "globex")
    assert [page async for page in reconcile.customers(only)] == [[only]]
    assert await reconcile.count(only) == 1


# What disagrees.


async def test_a_counter_that_differs_from_the_ledger_is_told_as_it_was_found(store: FakeStore) -> None:
    assert await find(store, counters=[COUNTER_DRIFT]) == [COUNTER_DRIFT]
    assert COUNTER_DRIFT.difference == -2


async def test_what_the_ledger_lacks_is_added_to_what_it_has_in_that_period(store: FakeStore) -> None:
    book(store, 5)
    book(store, 3, PERIOD.start - MICROSECOND)
    (drift,) = await find(store, missing(2), missing(1))
    assert drift == ledger_drift(5, 8)
    assert drift.difference == 3


async def test_what_is_too_much_in_the_ledger_is_taken_from_what_it_has(store: FakeStore) -> None:
    book(store, 5)
    assert await find(store, missing(-2)) == [ledger_drift(5, 3)]


async def test_where_missing_and_too_much_add_up_to_nothing_it_is_told_all_the_same(store: FakeStore) -> None:
    book(store, 5)
    assert await find(store, missing(2), missing(-2)) == [ledger_drift(5, 5)]


@pytest.mark.parametrize("early", [LAST_MONTH.start, PERIOD.start - MICROSECOND])
@pytest.mark.parametrize("late", [PERIOD.start, PERIOD.end - MICROSECOND])
async def test_what_is_missing_is_told_by_the_period_in_which_it_occurred(store: FakeStore, early: datetime, late: datetime) -> None:
    book(store, 5)
    book(store, 3, early)
    found = await find(store, missing(1, early), missing(2, late))
    assert found == [ledger_drift(3, 4, LAST_MONTH), ledger_drift(5, 7)]


async def test_what_is_missing_is_told_for_each_customer_and_feature_apart(store: FakeStore) -> None:
    found = await find(store, missing(1), missing(90, feature="minutes"), missing(4, customer_id="globex"), missing(2))
    assert found == [ledger_drift(0, 3), ledger_drift(0, 90, feature="minutes"), ledger_drift(0, 4, customer_id="globex")]


async def test_an_account_is_read_once_for_all_that_is_missing_of_one_period(store: FakeStore, mocker: MockerFixture) -> None:
    read = mocker.spy(CountedAccountReader, "read")
    await find(store, missing(1, LAST_MONTH.start), missing(1), missing(2), missing(3))
    assert [call.args[3] for call in read.call_args_list] == [LAST_MONTH.start, NOW]


# Repair.


async def test_a_repair_names_each_customer_once_with_all_that_drifted() -> None:
    repair = FakeRepair(outcome=2)
    drift = [
        COUNTER_DRIFT,
        ledger_drift(0, 90, feature="minutes"),
        ledger_drift(0, 1),
        ledger_drift(0, 4, customer_id="globex"),
    ]
    written = await Reconcile(FakeDrift(), CountedAccountReader(FakeStore()), repair, FakeRollups()).repair(drift)
    assert written == 4
    assert repair.asked == [RepairCommand("acme", {"sessions", "minutes"}), RepairCommand("globex", {"sessions"})]


async def test_rollups_are_mended_and_nothing_else_is_repaired_for_them() -> None:
    repair, rollups = FakeRepair(), FakeRollups()
    drift = Drift("acme", "sessions", PERIOD, "rollup", 7, 5)
    assert await Reconcile(FakeDrift(), CountedAccountReader(FakeStore()), repair, rollups).repair([drift]) == 0
    assert (repair.asked, rollups.asked) == ([], [drift])


async def test_where_nothing_drifted_nothing_is_repaired() -> None:
    repair = FakeRepair()
    assert await Reconcile(FakeDrift(), CountedAccountReader(FakeStore()), repair, FakeRollups()).repair([]) == 0
    assert repair.asked == []


async def test_a_repair_that_is_refused_is_raised() -> None:
    reconcile = Reconcile(FakeDrift(), CountedAccountReader(FakeStore()), FakeRepair(CustomerNotFound("acme")), FakeRollups())
    with pytest.raises(CustomerNotFound):
        await reconcile.repair([COUNTER_DRIFT])
