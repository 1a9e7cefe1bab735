"""Usage that is dated into another period, through the use cases that book it: measured there, and read by one question."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from core.errors import DomainError
from core.metering.account import Account
from core.metering.balance import Amount
from core.metering.consume_usage import Consumed, ConsumeUsage, ConsumeUsageCommand, Mode
from core.metering.correct_record import Corrected, CorrectRecord, CorrectRecordCommand
from core.metering.idempotency import Once, Replay
from core.metering.ingest_events import IngestEventCommand, IngestEvents
from core.metering.ledger import UsageRecord
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase, Call
from core.plans.features import InvalidQuantity
from core.plans.periods import Reset
from core.plans.plan import Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, ORIGIN, PERIOD, PERIOD_BEFORE, PRO
from tests.unit.fakes.metering import FakeStore

LAST_MONTH = PERIOD_BEFORE.end - timedelta(days=1)
DAILY = Plan("daily", 1, "Daily", {"sessions": Metered(10, Reset.DAY)})


@pytest.fixture
def store() -> FakeStore:
    return FakeStore([PRO, DAILY], [ACME])


def recorded(quantity: int, at: datetime | None = LAST_MONTH, feature: str = "sessions") -> ConsumeUsageCommand:
    return ConsumeUsageCommand("acme", [Amount(feature, Decimal(quantity))], ORIGIN, Mode.RECORD, at)


def event(id: int, quantity: int, at: datetime | None = LAST_MONTH) -> IngestEventCommand:
    return IngestEventCommand("acme", [Amount("sessions", Decimal(quantity))], "meter", f"event {id}", "key 1", at)


async def consume(
    store: FakeStore, *commands: ConsumeUsageCommand | Call[ConsumeUsageCommand]
) -> Sequence[Consumed | Replay | DomainError]:
    return await ConsumeUsage(store.unit_of_work, lambda: NOW).execute(calls(*commands))


def overages(store: FakeStore) -> list[int]:
    return [record.overage for record in store.ledger]


async def test_eight_and_then_five_of_ten_recorded_into_the_last_period_are_three_over_the_limit(store: FakeStore) -> None:
    (first,) = await consume(store, recorded(8))
    (second,) = await consume(store, recorded(5))
    assert isinstance(first, Consumed)
    assert isinstance(second, Consumed)
    assert (first.over_limit, second.over_limit) == (False, True)
    assert overages(store) == [0, 3]


async def test_the_balances_that_are_answered_are_those_of_the_current_period(store: FakeStore) -> None:
    await consume(store, recorded(2, None))
    (outcome,) = await consume(store, recorded(13))
    assert isinstance(outcome, Consumed)
    balance = outcome.balances["sessions"]
    assert (balance.used, balance.remaining, balance.period, outcome.over_limit) == (2, 8, PERIOD, True)
    assert store.counters[Meter("acme", "sessions")].used == 2


async def test_a_later_command_of_a_list_sees_what_an_earlier_one_has_booked_into_the_last_period(store: FakeStore) -> None:
    await consume(store, recorded(8), recorded(4, None), recorded(5), recorded(7, None), recorded(1))
    assert overages(store) == [0, 0, 3, 1, 1]


async def test_a_refused_command_has_used_nothing_of_any_period(store: FakeStore) -> None:
    refused = ConsumeUsageCommand("acme", [Amount("sessions", Decimal(9)), Amount("exports", Decimal(1))], ORIGIN, Mode.RECORD, LAST_MONTH)
    await consume(store, refused, recorded(8))
    assert overages(store) == [0]


async def test_a_repeated_key_uses_nothing_of_any_period_again(store: FakeStore) -> None:
    once = Once("k", b"f", lambda consumed: b"booked")
    _, replay, _ = await consume(store, Call(recorded(8), once), Call(recorded(8), once), recorded(2))
    assert replay == Replay(b"booked")
    assert overages(store) == [0, 0]


async def test_usage_that_is_dated_now_takes_no_question(store: FakeStore) -> None:
    await consume(store, recorded(1, None), recorded(1, NOW), recorded(1, PERIOD.start))
    await IngestEvents(store.unit_of_work, lambda: NOW).execute(calls(event(1, 1, None), event(2, 1, NOW)))
    assert store.sums_asked == 0


async def test_all_periods_of_a_list_are_read_by_one_question(store: FakeStore) -> None:
    store.customers["acme"] = replace(ACME, plan_key="daily", plan_version=1)
    days = [NOW - timedelta(days=day) for day in range(30, 0, -1)]
    await consume(store, *(recorded(1, day) for day in days), *(recorded(1, day, "minutes") for day in days))
    assert (len(store.ledger), store.sums_asked) == (60, 1)


async def test_events_are_measured_against_the_period_in_which_they_occurred(store: FakeStore) -> None:
    ingest = IngestEvents(store.unit_of_work, lambda: NOW)
    assert await ingest.execute(calls(event(1, 8), event(1, 8), event(2, 5), event(3, 3, NOW))) == [True, False, True, True]
    assert (overages(store), store.sums_asked) == ([0, 3, 0], 1)


# Corrections of earlier periods.


def correction(record: UsageRecord, quantity: int) -> CorrectRecordCommand:
    return CorrectRecordCommand("acme", record.id, Decimal(quantity), "refund", "admin")


async def correct(store: FakeStore, *commands: CorrectRecordCommand) -> Sequence[Corrected | Replay | DomainError]:
    return await CorrectRecord(store.unit_of_work, lambda: NOW).execute(calls(*commands))


async def test_a_correction_takes_back_the_overage_of_the_period_that_it_is_about(store: FakeStore) -> None:
    await consume(store, recorded(8), recorded(5), recorded(4, None))
    outcomes = await correct(store, correction(store.ledger[1], -4), correction(store.ledger[0], -1), correction(store.ledger[0], 3))
    assert [type(outcome) for outcome in outcomes] == [Corrected] * 3
    assert overages(store)[3:] == [-3, 0, 1]
    assert [outcome.balance.used for outcome in outcomes if isinstance(outcome, Corrected)] == [4, 4, 4]
    assert store.sums_asked == 2


async def test_corrections_of_one_record_in_one_list_do_not_take_it_below_zero(store: FakeStore) -> None:
    await consume(store, recorded(3), recorded(5))
    wrong = store.ledger[0]
    outcomes = await correct(store, correction(wrong, -2), correction(wrong, -2), correction(wrong, -1))
    assert [type(outcome) for outcome in outcomes] == [Corrected, InvalidQuantity, Corrected]


async def test_a_period_whose_records_do_not_account_for_a_correction_is_not_taken_below_zero(store: FakeStore) -> None:
    await consume(store, recorded(3))
    tampered = UsageRecord(UUID(int=9_999), "acme", "sessions", -2, LAST_MONTH, NOW, ORIGIN)
    store.ledger.append(tampered)
    (refused,) = await correct(store, correction(store.ledger[0], -2))
    assert isinstance(refused, InvalidQuantity)
    assert "the period's usage" in str(refused)


# Whoever does not say beforehand what it is about.


class LateUsage(AccountUseCase[ConsumeUsageCommand, UsageRecord, UnitOfWork]):
    """Books into another period, and says so to nobody."""

    features = ("sessions",)

    def decide(self, command: ConsumeUsageCommand, account: Account, uow: UnitOfWork) -> UsageRecord:
        account.record("sessions", 1, ORIGIN)
        return account.record("sessions", 8, ORIGIN, occurred_at=command.occurred_at)


async def test_a_use_case_that_does_not_say_what_it_is_about_books_the_same(store: FakeStore) -> None:
    commands = [recorded(0), recorded(0), recorded(0, PERIOD_BEFORE.end - timedelta(days=2))]
    outcomes = await LateUsage(store.unit_of_work, lambda: NOW).execute(calls(*commands))
    assert [outcome.overage for outcome in outcomes if isinstance(outcome, UsageRecord)] == [0, 6, 8]
    assert store.counters[Meter("acme", "sessions")].used == 3
    assert len(store.ledger) == 6
