"""A ledger entry is corrected by a further one, and never below nothing."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from core.metering.account import CustomerNotFound
from core.metering.balance import Amount
from core.metering.consume_usage import ConsumeUsage, ConsumeUsageCommand, Mode
from core.metering.correct_record import Corrected, CorrectRecord, CorrectRecordCommand
from core.metering.ledger import Origin, RecordNotFound, UsageRecord
from core.metering.meters import Meter
from core.metering.use_case import execute_one
from core.plans.features import InvalidQuantity
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, ORIGIN, PERIOD, PRO
from tests.unit.fakes.metering import Counter, FakeStore
from tests.unit.fakes.operations import new

LAST_MONTH = NOW - timedelta(days=30)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore([PRO], [ACME, replace(ACME, id="globex")])


async def booked(
    store: FakeStore, quantity: str = "4", feature: str = "sessions", occurred_at: datetime | None = None, dimension: str | None = None
) -> UsageRecord:
    command = ConsumeUsageCommand(
        customer_id="acme",
        amounts=[Amount(feature, Decimal(quantity), dimension)],
        origin=ORIGIN,
        mode=Mode.RECORD,
        occurred_at=occurred_at,
    )
    return new(await execute_one(ConsumeUsage(store.unit_of_work, lambda: NOW), command)).records[0]


def correction(record: UsageRecord, quantity: str, customer_id: str = "acme") -> CorrectRecordCommand:
    return CorrectRecordCommand(
        customer_id=customer_id, record_id=record.id, quantity=Decimal(quantity), reason="miscounted", recorded_by="support"
    )


def correct_record(store: FakeStore) -> CorrectRecord:
    return CorrectRecord(store.unit_of_work, lambda: NOW)


async def correct(store: FakeStore, record: UsageRecord, quantity: str) -> Corrected:
    return new(await execute_one(correct_record(store), correction(record, quantity)))


async def test_a_correction_is_an_entry_of_its_own_beside_the_one_that_was_wrong(store: FakeStore) -> None:
    wrong = await booked(store, "4", dimension="en")
    corrected = await correct(store, wrong, "-3")
    assert store.ledger == [wrong, corrected.record]
    assert corrected.record == UsageRecord(
        id=corrected.record.id,
        customer_id="acme",
        feature="sessions",
        quantity=-3,
        occurred_at=NOW,
        recorded_at=NOW,
        origin=Origin("correction", "support", "order 7"),
        corrects=wrong.id,
        reason="miscounted",
        dimension="en",
    )
    assert corrected.balance.used == 1
    assert store.counters[Meter("acme", "sessions")] == Counter(PERIOD, 1)


async def test_a_quantity_is_read_in_the_features_unit(store: FakeStore) -> None:
    wrong = await booked(store, "30", "minutes")
    corrected = await correct(store, wrong, "-0.5")
    assert (corrected.record.quantity, corrected.balance.used) == (-30, 29 * 60 + 30)


async def test_usage_can_be_corrected_upwards_though_the_limit_is_reached(store: FakeStore) -> None:
    corrected = await correct(store, await booked(store, "10"), "2")
    assert (corrected.record.quantity, corrected.record.overage, corrected.balance.used) == (2, 2, 12)


async def test_a_correction_counts_in_the_period_of_what_it_corrects(store: FakeStore) -> None:
    wrong = await booked(store, "4", occurred_at=LAST_MONTH)
    await booked(store, "1")
    corrected = await correct(store, wrong, "-4")
    assert (corrected.record.occurred_at, corrected.record.recorded_at) == (LAST_MONTH, NOW)
    assert corrected.balance.used == store.used_within("acme", "sessions", PERIOD) == 1


# Never below nothing.


async def test_a_record_can_be_corrected_to_nothing_and_not_below(store: FakeStore) -> None:
    wrong = await booked(store, "4")
    await booked(store, "5")
    with pytest.raises(InvalidQuantity, match="stands at 4 session"):
        await correct(store, wrong, "-5")
    await correct(store, wrong, "-4")
    with pytest.raises(InvalidQuantity, match="stands at 0 session"):
        await correct(store, wrong, "-1")
    assert store.used_within("acme", "sessions", PERIOD) == 5


async def test_corrections_that_follow_one_another_see_the_total_that_is_left(store: FakeStore) -> None:
    wrong = await booked(store, "4")
    await booked(store, "5")
    await correct(store, wrong, "-3")
    await correct(store, wrong, "1")
    with pytest.raises(InvalidQuantity, match="stands at 2 session"):
        await correct(store, wrong, "-3")


async def test_corrections_in_one_list_see_the_total_that_is_left(store: FakeStore) -> None:
    wrong = await booked(store, "4")
    await booked(store, "5")
    commands = [correction(wrong, quantity) for quantity in ("-3", "-2", "-1", "-1")]
    outcomes = await correct_record(store).execute(calls(*commands))
    assert [type(outcome) for outcome in outcomes] == [Corrected, InvalidQuantity, Corrected, InvalidQuantity]
    assert store.used_within("acme", "sessions", PERIOD) == 5


@pytest.mark.parametrize("quantity", ["0", "-0", "0.4"])
async def test_a_correction_of_less_than_a_part_is_refused(store: FakeStore, quantity: str) -> None:
    wrong = await booked(store)
    with pytest.raises(InvalidQuantity, match="changes nothing"):
        await correct(store, wrong, quantity)
    assert store.ledger == [wrong]


async def test_the_periods_usage_does_not_fall_below_nothing(store: FakeStore) -> None:
    wrong = await booked(store, "4")
    store.counters[Meter("acme", "sessions")] = Counter(PERIOD, 2)  # which has drifted
    with pytest.raises(InvalidQuantity, match="the period's usage"):
        await correct(store, wrong, "-3")


# What can be corrected.


async def test_a_correction_is_not_corrected_and_the_refusal_names_what_is(store: FakeStore) -> None:
    wrong = await booked(store)
    right = (await correct(store, wrong, "-1")).record
    with pytest.raises(InvalidQuantity, match=f"itself a correction: correct {wrong.id}"):
        await correct(store, right, "1")
    assert store.ledger == [wrong, right]


async def test_only_the_customers_own_records_can_be_corrected(store: FakeStore) -> None:
    record = await booked(store)
    commands = [
        correction(record, "-1", "globex"),
        correction(record._replace(id=UUID(int=404)), "-1"),
        correction(record, "-1", "nobody"),
        correction(record, "-1"),
    ]
    outcomes = await correct_record(store).execute(calls(*commands))
    assert [type(outcome) for outcome in outcomes] == [RecordNotFound, RecordNotFound, CustomerNotFound, Corrected]
    assert isinstance(outcomes[0], RecordNotFound)
    assert outcomes[0].identity == str(record.id)
    assert store.used_within("acme", "sessions", PERIOD) == 3


async def test_records_of_several_features_are_corrected_in_one_list(store: FakeStore) -> None:
    sessions, minutes = await booked(store, "4"), await booked(store, "30", "minutes")
    await correct_record(store).execute(calls(correction(sessions, "-1"), correction(minutes, "-1")))
    assert [store.used_within("acme", feature, PERIOD) for feature in ("sessions", "minutes")] == [3, 29 * 60]
