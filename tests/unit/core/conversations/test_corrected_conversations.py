"""Conversations whose units somebody has given back: merges and moved starts give back, and move, only what is left."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from core.conversations.message import Direction, Receipt
from core.conversations.record_message import Recorded, RecordMessage, RecordMessageCommand
from core.conversations.window import Window
from core.customers.customer import Customer
from core.metering.correct_record import Corrected, CorrectRecord, CorrectRecordCommand
from core.metering.ledger import Origin, UsageRecord
from core.plans.periods import Billing, Interval, Period, Reset
from core.plans.plan import Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.conversations import ConversationsStore, FakePhoneNumbers
from tests.unit.fakes.metering import FakeRecords

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TODAY, YESTERDAY = Period(NOW - 12 * HOUR, NOW + 12 * HOUR), Period(NOW - 36 * HOUR, NOW - 12 * HOUR)
MIDNIGHT = TODAY.start
GUEST = "+14155552671"
PLAN = Plan("daily", 1, "daily", {"conversations": Metered(None, Reset.DAY, options=(Window(HOUR),))})
BILLING = Billing(None, Interval.MONTH, ZoneInfo("UTC"))


def guest(number: int) -> str:
    return f"+1415555{number:04d}"


class Restaurant:
    """One customer, whose quota begins anew every day, with conversations of an hour."""

    def __init__(self) -> None:
        self.store = ConversationsStore([PLAN], [Customer("rosa", "daily", 1, BILLING, created_at=NOW, updated_at=NOW)])
        self.messages = RecordMessage(self.store.unit_of_work, lambda: NOW, self.store.new_id, FakePhoneNumbers())
        self.corrections = CorrectRecord(self.store.unit_of_work, lambda: NOW)
        self._numbers = count(1)

    async def send(self, *messages: datetime | tuple[datetime, str]) -> list[Receipt]:
        """All of them in one batch, from one guest or from those that are named."""
        named = [(item, GUEST) if isinstance(item, datetime) else item for item in messages]
        commands = [
            RecordMessageCommand(
                customer_id="rosa",
                direction=Direction.INBOUND,
                counterparty=counterparty,
                message_id=f"m{next(self._numbers)}",
                recorded_by="key",
                sent_at=at,
            )
            for at, counterparty in named
        ]
        outcomes = await self.messages.execute(calls(*commands))
        return [outcome.receipt for outcome in outcomes if isinstance(outcome, Recorded)]

    async def correct(self, record: UsageRecord, quantity: int = -1) -> bool:
        """Whether it was admitted."""
        command = CorrectRecordCommand("rosa", record.id, Decimal(quantity), "refund", "admin")
        (outcome,) = await self.corrections.execute(calls(command))
        return isinstance(outcome, Corrected)

    async def give_back(self, receipt: Receipt) -> None:
        (record,) = self.records(receipt)
        assert await self.correct(record)

    def records(self, receipt: Receipt) -> list[UsageRecord]:
        """What the conversation was booked as."""
        booked = [record for record in self.store.ledger if record.corrects is None]
        return [record for record in booked if record.origin.reference == str(receipt.conversation_id)]

    def total(self, record: UsageRecord) -> int:
        return record.quantity + sum(item.quantity for item in self.store.ledger if item.corrects == record.id)

    def used(self, period: Period = TODAY) -> int:
        return self.store.used_within("rosa", "conversations", period)

    def agrees(self) -> None:
        """Nothing stands below zero, the counter is the ledger's sum, and the records show what the conversations show."""
        for record in self.store.ledger:
            if record.corrects is None and record.quantity > 0:
                assert self.total(record) >= 0, record
            assert self.used(BILLING.period(Reset.DAY, record.occurred_at)) >= 0
        if counter := self.store.counters.get(("rosa", "conversations")):  # type: ignore[call-overload]
            assert counter.used == self.used(counter.period)
        for conversation in self.store.conversations.values():
            shown = conversation.merged_into is None
            assert self.missing(conversation.id, shown) == 0, conversation

    def missing(self, id: UUID, shown: bool) -> int:
        """What reconciliation would book: what others have given back of too much is no drift."""
        own = [record for record in self.store.ledger if record.origin.source == "conversations" and record.origin.reference == str(id)]
        booked = sum(record.quantity for record in own)
        corrected = sum(item.quantity for record in own for item in self.store.ledger if item.corrects == record.id)
        given_back = max(sum(record.quantity for record in own if record.corrects is not None) - corrected, 0)
        return min(shown - booked + given_back, 0) if booked > shown else shown - booked


@pytest.fixture
def rosa() -> Restaurant:
    return Restaurant()


async def test_a_merge_gives_nothing_back_of_what_was_given_back_and_takes_nothing_of_others(rosa: Restaurant) -> None:
    _, corrected, _ = await rosa.send(NOW - 90 * MINUTE, NOW, (NOW, guest(1)))
    await rosa.give_back(corrected)
    (merged,) = await rosa.send(NOW - 45 * MINUTE)
    assert (merged.message_count, merged.usage.used) == (3, 2)
    assert [record.quantity for record in rosa.store.ledger] == [1, 1, 1, -1]
    rosa.agrees()


async def test_a_merge_gives_back_a_unit_by_correcting_the_very_record_of_it(rosa: Restaurant) -> None:
    _, absorbed = await rosa.send(NOW - 90 * MINUTE, NOW)
    await rosa.send(NOW - 45 * MINUTE)
    returned, (record,) = rosa.store.ledger[-1], rosa.records(absorbed)
    assert (returned.quantity, returned.reason, returned.corrects) == (-1, "merged", record.id)
    assert returned.origin == Origin("conversations", "key", str(absorbed.conversation_id))
    assert not await rosa.correct(record), "it was given back already"
    rosa.agrees()


async def test_what_somebody_added_to_a_record_is_not_given_back_by_a_merge(rosa: Restaurant) -> None:
    _, absorbed = await rosa.send(NOW - 90 * MINUTE, NOW)
    (record,) = rosa.records(absorbed)
    assert await rosa.correct(record, +2)
    await rosa.send(NOW - 45 * MINUTE)
    assert (rosa.total(record), rosa.used()) == (2, 3)
    rosa.agrees()


async def test_a_start_that_moves_into_another_period_takes_its_unit_along_as_a_correction_and_a_new_record(rosa: Restaurant) -> None:
    (moved,) = await rosa.send(MIDNIGHT + 10 * MINUTE)
    (late,) = await rosa.send(MIDNIGHT - 10 * MINUTE)
    assert (rosa.used(YESTERDAY), rosa.used(TODAY), late.usage.used) == (1, 0, 0)
    first, second = rosa.records(moved)
    assert [rosa.total(record) for record in (first, second)] == [0, 1]
    assert (second.occurred_at, second.reason) == (MIDNIGHT - 10 * MINUTE, "start moved")
    rosa.agrees()


async def test_of_a_start_that_moves_nothing_moves_along_where_it_was_given_back(rosa: Restaurant) -> None:
    corrected, other = await rosa.send(MIDNIGHT + 10 * MINUTE, (MIDNIGHT + 10 * MINUTE, guest(1)))
    await rosa.give_back(corrected)
    await rosa.send(MIDNIGHT - 10 * MINUTE)
    assert (rosa.used(YESTERDAY), rosa.used(TODAY)) == (0, 1)
    assert len(rosa.records(corrected)) == len(rosa.records(other)) == 1
    rosa.agrees()


async def test_what_was_moved_and_then_given_back_is_not_given_back_by_a_merge(rosa: Restaurant) -> None:
    (moved,) = await rosa.send(MIDNIGHT + 10 * MINUTE)
    await rosa.send(MIDNIGHT - 10 * MINUTE, MIDNIGHT - 100 * MINUTE)
    assert await rosa.correct(rosa.records(moved)[-1])
    await rosa.send(MIDNIGHT - 55 * MINUTE)
    assert [item.message_count for item in rosa.store.current()] == [4]
    assert (rosa.used(YESTERDAY), rosa.used(TODAY)) == (1, 0)
    rosa.agrees()


async def test_what_one_batch_opens_it_can_also_move_and_merge(rosa: Restaurant) -> None:
    minutes = (10, -10, -100, -55)
    receipts = await rosa.send(*(MIDNIGHT + minute * MINUTE for minute in minutes))
    assert [receipt.new_conversation for receipt in receipts] == [True, False, True, False]
    assert [item.message_count for item in rosa.store.current()] == [4]
    assert (rosa.used(YESTERDAY), rosa.used(TODAY)) == (1, 0)
    rosa.agrees()


@pytest.mark.parametrize("corrected", [True, False])
async def test_what_an_earlier_release_has_moved_is_given_back_once(rosa: Restaurant, corrected: bool) -> None:
    """It wrote a record of −1 and one of +1, and corrected none."""
    _, moved, _ = await rosa.send(MIDNIGHT - 100 * MINUTE, MIDNIGHT - 10 * MINUTE, (MIDNIGHT + 10 * MINUTE, guest(1)))
    (now,) = rosa.records(moved)
    before = [now._replace(id=UUID(int=0), occurred_at=MIDNIGHT), now._replace(id=UUID(int=1), occurred_at=MIDNIGHT, quantity=-1)]
    rosa.store.ledger += before
    if corrected:
        assert await rosa.correct(now)
    await rosa.send(MIDNIGHT - 55 * MINUTE)
    assert (rosa.used(YESTERDAY), rosa.used(TODAY)) == (1, 1)
    assert [len(rosa.store.current()), rosa.total(now)] == [2, 0]


async def test_where_messages_come_in_their_turn_no_records_are_read(rosa: Restaurant, mocker: MockerFixture) -> None:
    asked = mocker.spy(FakeRecords, "find_of")
    await rosa.send(NOW - 90 * MINUTE)
    await rosa.send(NOW - 80 * MINUTE, (NOW - 85 * MINUTE, guest(1)))
    await rosa.send(NOW, NOW, (NOW, guest(2)))
    assert asked.call_count == 0
    await rosa.send(NOW - 10 * MINUTE, (NOW - 5 * MINUTE, guest(2)))
    assert asked.call_count == 1


async def test_what_was_used_in_all_the_days_that_a_batch_is_about_is_read_by_one_question(rosa: Restaurant) -> None:
    days = range(2, 10, 2)
    await rosa.send(*((MIDNIGHT - day * DAY + 10 * MINUTE, guest(day)) for day in days))
    asked = rosa.store.sums_asked
    await rosa.send(*((MIDNIGHT - day * DAY - 10 * MINUTE, guest(day)) for day in days))
    assert rosa.store.sums_asked == asked + 1
    assert [item.message_count for item in rosa.store.current()] == [2] * len(days)
    rosa.agrees()


MOVES = st.lists(
    st.tuples(st.sampled_from(["send", "send", "send", "refund"]), st.integers(0, 35 * 24 * 60), st.integers(1, 2), st.integers(0, 5)),
    min_size=1,
    max_size=40,
)


@given(MOVES, st.integers(1, 4))
def test_in_any_order_usage_is_the_number_of_conversations_without_those_that_were_given_back(
    moves: list[tuple[str, int, int, int]], size: int
) -> None:
    rosa = Restaurant()
    asyncio.run(_play(rosa, moves, size))
    refunds = [record for record in rosa.store.ledger if record.origin.source == "correction"]
    refunded = {record.origin.reference for record in refunds}
    for day in range(37):
        period = Period(MIDNIGHT - day * DAY, MIDNIGHT - (day - 1) * DAY)
        started = [item for item in rosa.store.current() if item.started_at in period]
        assert rosa.used(period) == sum(str(item.id) not in refunded for item in started)


async def _play(rosa: Restaurant, moves: Iterable[tuple[str, int, int, int]], size: int) -> None:
    waiting: list[tuple[datetime, str]] = []
    for move, minute, number, age in moves:
        if move == "send":
            # Near to each other now and then, so that they merge and move.
            waiting.append((NOW - minute // (1, 100, 1000)[age % 3] * MINUTE, guest(number)))
        elif left := [record for record in rosa.store.ledger if record.corrects is None and rosa.total(record) > 0]:
            assert await rosa.correct(left[-1 - age % len(left)])
        if len(waiting) >= size:
            await rosa.send(*waiting)
            waiting.clear()
        rosa.agrees()
    await rosa.send(*waiting)
    rosa.agrees()
