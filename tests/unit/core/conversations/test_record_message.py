"""Counting messages: what is booked, what is refused, and what a repeat is told."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from core.conversations.message import Channel, Direction, InvalidPhoneNumber, InvalidSentAt, MessageConflict
from core.conversations.record_message import Recorded, RecordMessage, RecordMessageCommand
from core.conversations.window import Extends, Window
from core.customers.customer import Customer
from core.errors import DomainError
from core.metering.account import CustomerNotFound
from core.metering.balance import FeatureNotInPlan, LimitExceeded
from core.metering.idempotency import Once, Replay
from core.metering.meters import Meter
from core.metering.use_case import Call
from core.plans.periods import ALWAYS, Billing, Interval, Period, Reset
from core.plans.plan import Enforcement, Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.conversations import ConversationsStore, FakePhoneNumbers
from tests.unit.fakes.conversations_in_order import Span, conversations_in_order
from tests.unit.fakes.metering import Counter, FakeRecords

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
NOVEMBER, DECEMBER = (
    Period(datetime(2026, month, 1, tzinfo=UTC), datetime(2026 + month // 12, month % 12 + 1, 1, tzinfo=UTC)) for month in (11, 12)
)
HOUR = timedelta(hours=1)
INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND
PLANS = {
    "three": Metered(3, Reset.MONTH),
    "soft": Metered(0, Reset.MONTH, Enforcement.SOFT),
    "unlimited": Metered(None, Reset.MONTH),
    "hourly": Metered(None, Reset.MONTH, options=(Window(HOUR),)),
    "fixed": Metered(None, Reset.MONTH, options=(Window(HOUR, extending=False),)),
    "pairs": Metered(None, Reset.MONTH, options=(Window(messages_max=2),)),
    "answering": Metered(1, Reset.MONTH, options=(Window(HOUR, extends=Extends.INBOUND),)),
    "daily": Metered(None, Reset.DAY, options=(Window(HOUR),)),
    "overnight": Metered(None, Reset.DAY),
}
BILLING = Billing(None, Interval.MONTH, ZoneInfo("UTC"))
GUEST = "+14155552671"

_numbers = count(1)


class Restaurant:
    """One customer, and the use case that its messages go through."""

    def __init__(self, plan: str = "three") -> None:
        plans = [Plan(key, 1, key, {"conversations": metered}) for key, metered in PLANS.items()] + [Plan("none", 1, "none", {})]
        self.store = ConversationsStore(plans, [Customer("rosa", plan, 1, BILLING, "US", created_at=NOW, updated_at=NOW)])
        self.now = NOW
        self.use_case = RecordMessage(self.store.unit_of_work, lambda: self.now, self.store.new_id, FakePhoneNumbers())

    def moves_to(self, plan: str) -> None:
        self.store.customers["rosa"] = replace(self.store.customers["rosa"], plan_key=plan)

    async def sends(self, *commands: RecordMessageCommand | Call[RecordMessageCommand]) -> Sequence[Recorded | Replay | DomainError]:
        """In one batch."""
        return await self.use_case.execute(calls(*commands))

    async def send(
        self, direction: Direction = INBOUND, counterparty: str = GUEST, message_id: str | None = None, at: datetime | None = None
    ) -> Recorded:
        (outcome,) = await self.sends(message(direction, counterparty, message_id, at))
        if isinstance(outcome, DomainError):
            raise outcome
        assert isinstance(outcome, Recorded)
        return outcome

    def used(self, period: Period = ALWAYS) -> int:
        return self.store.used_within("rosa", "conversations", period)

    def spans(self) -> list[Span]:
        return [Span(item.started_at, item.expires_at, item.message_count) for item in self.store.current()]


def message(
    direction: Direction = INBOUND,
    counterparty: str = GUEST,
    message_id: str | None = None,
    at: datetime | None = None,
) -> RecordMessageCommand:
    id = f"m{next(_numbers)}" if message_id is None else message_id
    return RecordMessageCommand(
        customer_id="rosa", direction=direction, counterparty=counterparty, message_id=id, recorded_by="key", sent_at=at
    )


def guest(number: int) -> str:
    return f"+1415555{number:04d}"


@pytest.fixture
def rosa() -> Restaurant:
    return Restaurant()


@pytest.mark.parametrize("direction", Direction)
async def test_a_first_message_in_either_direction_opens_a_conversation_and_books_one(rosa: Restaurant, direction: Direction) -> None:
    recorded = await rosa.send(direction)
    receipt = recorded.receipt
    assert (receipt.new_conversation, receipt.message_count, receipt.over_limit, recorded.again) == (True, 1, False, False)
    assert (receipt.started_at, receipt.expires_at) == (NOW, NOW + timedelta(hours=24))
    assert (receipt.usage.used, receipt.usage.limit, receipt.usage.remaining) == (1, 3, 2)
    (record,) = rosa.store.ledger
    assert (record.quantity, record.occurred_at, record.origin.source) == (1, NOW, "conversations")
    assert record.origin.reference == str(receipt.conversation_id)


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("channel", Channel)
async def test_a_further_message_in_either_direction_by_either_channel_books_nothing(
    rosa: Restaurant, direction: Direction, channel: Channel
) -> None:
    await rosa.send()
    rosa.now += HOUR
    (recorded,) = await rosa.sends(message(direction)._replace(channel=channel))
    assert isinstance(recorded, Recorded)
    assert (recorded.receipt.new_conversation, recorded.receipt.message_count) == (False, 2)
    assert recorded.receipt.expires_at == NOW + timedelta(hours=25)
    assert rosa.used() == 1


async def test_outbound_that_would_open_a_conversation_beyond_the_limit_is_refused_and_leaves_nothing(rosa: Restaurant) -> None:
    for number in range(3):
        await rosa.send(OUTBOUND, guest(number))
    with pytest.raises(LimitExceeded) as refusal:
        await rosa.send(OUTBOUND, guest(3), "late")
    assert (refusal.value.facts()["current_usage"], refusal.value.facts()["limit"]) == (3, 3)
    assert (len(rosa.store.messages), len(rosa.store.conversations), rosa.used()) == (3, 3, 3)


async def test_inside_an_open_conversation_outbound_passes_at_the_limit(rosa: Restaurant) -> None:
    for number in range(3):
        await rosa.send(OUTBOUND, guest(number))
    recorded = await rosa.send(OUTBOUND, guest(0))
    assert (recorded.receipt.message_count, recorded.receipt.over_limit) == (2, False)


async def test_inbound_beyond_the_limit_is_taken_and_booked_as_overage(rosa: Restaurant) -> None:
    for number in range(3):
        await rosa.send(INBOUND, guest(number))
    recorded = await rosa.send(INBOUND, guest(3))
    assert (recorded.receipt.over_limit, recorded.receipt.usage.used, recorded.receipt.usage.remaining) == (True, 4, 0)
    assert [record.overage for record in rosa.store.ledger] == [0, 0, 0, 1]
    assert (await rosa.send(OUTBOUND, guest(3))).receipt.message_count == 2


async def test_after_a_refusal_inbound_opens_the_conversation_and_the_outbound_then_passes(rosa: Restaurant) -> None:
    for number in range(3):
        await rosa.send(OUTBOUND, guest(number))
    refused, taken, passed = await rosa.sends(message(OUTBOUND, guest(3)), message(INBOUND, guest(3)), message(OUTBOUND, guest(3)))
    assert isinstance(refused, LimitExceeded)
    assert isinstance(taken, Recorded)
    assert isinstance(passed, Recorded)
    assert (taken.receipt.over_limit, passed.receipt.message_count) == (True, 2)


async def test_a_soft_limit_lets_outbound_pass_and_says_so() -> None:
    assert (await Restaurant("soft").send(OUTBOUND)).receipt.over_limit is True


async def test_a_plan_without_conversations_refuses_outbound_and_takes_inbound() -> None:
    rosa = Restaurant("none")
    with pytest.raises(FeatureNotInPlan):
        await rosa.send(OUTBOUND)
    assert (await rosa.send(INBOUND)).receipt.over_limit is True


async def test_an_unknown_customer_is_told_so(rosa: Restaurant) -> None:
    (outcome,) = await rosa.sends(message()._replace(customer_id="nobody"))
    assert isinstance(outcome, CustomerNotFound)


# One message id is one message.


async def test_the_same_message_again_gets_the_first_answer_and_is_not_counted(rosa: Restaurant) -> None:
    first = await rosa.send(INBOUND, message_id="m")
    await rosa.send(INBOUND)
    again = await rosa.send(INBOUND, message_id="m")
    assert again == first._replace(again=True)
    assert (rosa.store.current()[0].message_count, rosa.used()) == (2, 1)


async def test_the_same_message_twice_in_one_batch_is_counted_once(rosa: Restaurant) -> None:
    first, again = await rosa.sends(message(message_id="m"), message(message_id="m"))
    assert isinstance(first, Recorded)
    assert again == first._replace(again=True)
    assert (rosa.store.current()[0].message_count, rosa.used()) == (1, 1)


async def test_the_same_message_again_is_known_whatever_else_it_says(rosa: Restaurant) -> None:
    first = await rosa.send(INBOUND, message_id="m")
    for again in (
        message(message_id="m", counterparty="(415) 555-2671"),
        message(message_id="m", at=NOW - timedelta(days=400)),
        message(message_id="m")._replace(channel=Channel.QUEUED, recorded_by="another key"),
    ):
        assert await rosa.sends(again) == [first._replace(again=True)]
    assert (len(rosa.store.conversations), rosa.used()) == (1, 1)


@pytest.mark.parametrize("together", [True, False])
async def test_another_message_under_the_same_id_is_refused_with_what_is_known_of_the_first(rosa: Restaurant, together: bool) -> None:
    first = message(message_id="m")
    others = [message(OUTBOUND, message_id="m"), message(counterparty=guest(9), message_id="m"), message(OUTBOUND, "12345", "m")]
    batches = [[first, *others]] if together else [[first], *([other] for other in others)]
    known, *outcomes = [outcome for batch in batches for outcome in await rosa.sends(*batch)]
    assert isinstance(known, Recorded)
    for outcome in outcomes:
        assert isinstance(outcome, MessageConflict)
        facts = {"message_id": "m", "direction": "inbound", "counterparty": GUEST}
        assert outcome.facts() == facts | {"conversation_id": str(known.receipt.conversation_id)}
        assert str(outcome).startswith(f"Message 'm' was counted already, as one from '{GUEST}'")
    assert (len(rosa.store.conversations), rosa.store.current()[0].message_count, rosa.used()) == (1, 1, 1)


async def test_a_refused_message_can_be_sent_again_under_its_id(rosa: Restaurant) -> None:
    for number in range(3):
        await rosa.send(OUTBOUND, guest(number))
    with pytest.raises(LimitExceeded):
        await rosa.send(OUTBOUND, message_id="m")
    rosa.moves_to("unlimited")
    assert (await rosa.send(OUTBOUND, message_id="m")).again is False


async def test_another_customers_message_of_the_same_id_is_another_message(rosa: Restaurant) -> None:
    rosa.store.customers["luigi"] = replace(rosa.store.customers["rosa"], id="luigi")
    first = message(message_id="m")
    outcomes = await rosa.sends(first, first._replace(customer_id="luigi"))
    assert [isinstance(outcome, Recorded) and not outcome.again for outcome in outcomes] == [True, True]
    assert rosa.used() == 1


async def test_an_idempotency_key_replays_what_was_stored(rosa: Restaurant) -> None:
    once = Once("k", b"f", lambda recorded: str(recorded.receipt.message_count).encode())
    await rosa.sends(Call(message(message_id="m"), once))
    assert await rosa.sends(Call(message(message_id="m"), once)) == [Replay(b"1")]
    assert rosa.store.current()[0].message_count == 1


# Counterparties.


async def test_spellings_of_one_number_are_one_counterparty(rosa: Restaurant) -> None:
    for spelling in ("+1 (415) 555-2671", "(415) 555-2671", "415 555 2671"):
        await rosa.send(counterparty=spelling)
    (conversation,) = rosa.store.current()
    assert (conversation.counterparty, conversation.message_count) == (GUEST, 3)


@pytest.mark.parametrize("number", ["", "12345", "+12345"])
async def test_a_recipient_that_is_no_phone_number_is_refused_and_books_nothing_and_spoils_nothing(rosa: Restaurant, number: str) -> None:
    good, bad = await rosa.sends(message(OUTBOUND), message(OUTBOUND, number))
    assert isinstance(good, Recorded)
    assert isinstance(bad, InvalidPhoneNumber)
    assert bad.facts() == {"counterparty": number, "phone_region": None if number.startswith("+") else "US"}
    assert (len(rosa.store.messages), rosa.used()) == (1, 1)


@pytest.mark.parametrize(("sender", "name"), [("", "unknown"), ("12345", "12345"), ("+1 23 45", "+12345"), ("Maria", "Maria")])
async def test_a_sender_is_counted_whoever_it_is(rosa: Restaurant, sender: str, name: str) -> None:
    assert (await rosa.send(INBOUND, sender)).receipt.counterparty == name


async def test_a_recipient_may_be_an_id(rosa: Restaurant) -> None:
    opened = await rosa.send(INBOUND, "12345@lid")
    answered = await rosa.send(OUTBOUND, "12345@lid ")
    assert answered.receipt.conversation_id == opened.receipt.conversation_id


async def test_a_number_without_country_needs_the_customers_region(rosa: Restaurant) -> None:
    rosa.store.customers["rosa"] = replace(rosa.store.customers["rosa"], phone_region=None)
    with pytest.raises(InvalidPhoneNumber, match="phone_region"):
        await rosa.send(OUTBOUND, "(415) 555-2671")
    assert (await rosa.send(INBOUND, "(415) 555-2671")).receipt.counterparty == "4155552671"


# Time.


@pytest.mark.parametrize("apart", [timedelta(days=-35), timedelta(hours=-25), timedelta(minutes=5)])
async def test_a_message_may_be_35_days_old_or_five_minutes_ahead(rosa: Restaurant, apart: timedelta) -> None:
    assert (await rosa.send(at=NOW + apart)).receipt.started_at == NOW + apart


@pytest.mark.parametrize("apart", [timedelta(days=-35, microseconds=-1), timedelta(minutes=5, microseconds=1)])
async def test_a_message_older_or_further_ahead_is_refused(rosa: Restaurant, apart: timedelta) -> None:
    with pytest.raises(InvalidSentAt):
        await rosa.send(at=NOW + apart)
    assert rosa.store.messages == {}


async def test_a_conversation_is_booked_in_the_period_in_which_it_started(rosa: Restaurant) -> None:
    recorded = await rosa.send(at=NOVEMBER.end - HOUR)
    assert (rosa.used(NOVEMBER), rosa.used(DECEMBER), recorded.receipt.usage.used) == (1, 0, 0)


async def test_outbound_is_held_to_the_current_period_whenever_it_was_sent(rosa: Restaurant) -> None:
    """Or a new month would be a day in which the old month's quota is nobody's."""
    for number in range(3):
        late = await rosa.send(OUTBOUND, guest(number), at=NOVEMBER.end - HOUR)
        assert (late.receipt.started_at, late.receipt.new_conversation) == (DECEMBER.start, True)
    with pytest.raises(LimitExceeded):
        await rosa.send(OUTBOUND, guest(3), at=NOVEMBER.end - HOUR)
    assert (rosa.used(NOVEMBER), rosa.used(DECEMBER)) == (0, 3)


async def test_a_start_that_moves_back_within_its_period_books_nothing(rosa: Restaurant) -> None:
    await rosa.send()
    recorded = await rosa.send(at=NOW - HOUR)
    assert (recorded.receipt.started_at, recorded.receipt.new_conversation) == (NOW - HOUR, False)
    assert len(rosa.store.ledger) == 1


async def test_a_start_that_moves_into_the_last_period_takes_its_unit_along(rosa: Restaurant) -> None:
    rosa.now = DECEMBER.start + HOUR
    first = await rosa.send(at=DECEMBER.start)
    late = await rosa.send(at=DECEMBER.start - timedelta(minutes=1))
    assert (rosa.used(NOVEMBER), rosa.used(DECEMBER)) == (1, 0)
    assert (first.receipt.usage.used, late.receipt.usage.used) == (1, 0)
    assert [(record.quantity, record.reason) for record in rosa.store.ledger] == [(1, None), (-1, "start moved"), (1, "start moved")]
    assert {record.origin.reference for record in rosa.store.ledger} == {str(first.receipt.conversation_id)}


async def test_a_start_that_moves_again_and_again_takes_its_unit_along_each_time_also_within_one_list() -> None:
    rosa = Restaurant("overnight")
    midnights = [NOW.replace(hour=0) - timedelta(days=days) for days in (0, 1, 2)]
    await rosa.sends(*(message(at=midnight + timedelta(hours=hour)) for hour, midnight in zip((1, 2, 3), midnights, strict=True)))
    assert [rosa.used(Period(midnight, midnight + timedelta(days=1))) for midnight in midnights] == [0, 0, 1]
    assert len(rosa.store.current()) == 1


async def test_where_the_period_has_nothing_left_to_give_back_no_unit_moves(rosa: Restaurant) -> None:
    rosa.now = DECEMBER.start + HOUR
    await rosa.send(at=DECEMBER.start)
    rosa.store.counters[Meter("rosa", "conversations")] = Counter(DECEMBER, 0)  # which has drifted
    await rosa.send(at=DECEMBER.start - timedelta(minutes=1))
    assert [record.quantity for record in rosa.store.ledger] == [1]


async def test_a_late_message_that_makes_two_conversations_one_gives_a_unit_back() -> None:
    rosa = Restaurant("hourly")
    early = await rosa.send(at=NOW - timedelta(minutes=90))
    later = await rosa.send(at=NOW)
    assert later.receipt.usage.used == 2
    between = await rosa.send(at=NOW - timedelta(minutes=45))
    assert (between.receipt.conversation_id, between.receipt.message_count) == (early.receipt.conversation_id, 3)
    assert (between.receipt.usage.used, rosa.used()) == (1, 1)
    returned = rosa.store.ledger[-1]
    assert (returned.quantity, returned.occurred_at, returned.reason) == (-1, NOW, "merged")
    assert returned.origin.reference == str(later.receipt.conversation_id)
    assert rosa.store.conversations["rosa", later.receipt.conversation_id].merged_into == early.receipt.conversation_id


async def test_a_unit_is_given_back_in_the_period_in_which_it_was_booked() -> None:
    rosa = Restaurant("hourly")
    rosa.now = DECEMBER.start + HOUR
    for minutes in (30, 120, 75):
        receipt = (await rosa.send(at=DECEMBER.start - timedelta(minutes=minutes))).receipt
    assert (rosa.used(NOVEMBER), rosa.used(DECEMBER), receipt.usage.used) == (1, 0, 0)


async def test_a_merged_conversation_takes_no_further_message() -> None:
    rosa = Restaurant("hourly")
    early = await rosa.send(at=NOW - timedelta(minutes=90))
    await rosa.sends(message(at=NOW), message(at=NOW - timedelta(minutes=45)), message(at=NOW))
    assert (await rosa.send()).receipt.conversation_id == early.receipt.conversation_id
    assert rosa.spans() == [(NOW - timedelta(minutes=90), NOW + HOUR, 5)]


async def test_a_unit_that_is_given_back_may_be_used_again() -> None:
    rosa = Restaurant("three")
    day = timedelta(hours=24)
    await rosa.send(OUTBOUND, at=NOW - timedelta(hours=1))
    rosa.now += day
    for number in range(2):
        await rosa.send(OUTBOUND, guest(number + 1))
    with pytest.raises(LimitExceeded):
        await rosa.send(OUTBOUND, guest(7))
    await rosa.send(INBOUND, at=rosa.now)
    assert rosa.used(DECEMBER) == 4
    await rosa.send(INBOUND, at=rosa.now - timedelta(hours=2))
    assert rosa.used(DECEMBER) == 3


# The plan's window.


async def test_a_plan_change_to_fixed_windows_acts_at_the_next_message() -> None:
    rosa = Restaurant("hourly")
    await rosa.send()
    rosa.moves_to("fixed")
    rosa.now += timedelta(minutes=59)
    assert (await rosa.send()).receipt.expires_at == NOW + HOUR
    rosa.now = NOW + HOUR
    assert (await rosa.send()).receipt.new_conversation


async def test_the_message_after_the_cap_opens_and_books_a_new_conversation() -> None:
    rosa = Restaurant("pairs")
    recorded = [await rosa.send() for _ in range(5)]
    assert [item.receipt.new_conversation for item in recorded] == [True, False, True, False, True]
    assert rosa.used() == 3


async def test_where_only_inbound_extends_outbound_passes_at_the_limit_until_an_hour_after_the_latest_inbound() -> None:
    rosa = Restaurant("answering")
    opened = await rosa.send(INBOUND)
    rosa.now += timedelta(minutes=50)
    answered = await rosa.send(OUTBOUND)
    assert (answered.receipt.conversation_id, answered.receipt.message_count) == (opened.receipt.conversation_id, 2)
    assert (answered.receipt.expires_at, answered.receipt.over_limit) == (NOW + HOUR, False)
    rosa.now = NOW + HOUR
    with pytest.raises(LimitExceeded):
        await rosa.send(OUTBOUND)
    extended = await rosa.send(INBOUND, at=NOW + timedelta(minutes=59))
    assert (extended.receipt.conversation_id, extended.receipt.message_count) == (opened.receipt.conversation_id, 3)
    assert extended.receipt.expires_at == NOW + timedelta(minutes=119)
    assert (await rosa.send(OUTBOUND)).receipt.new_conversation is False


# Many at once.


async def test_where_messages_come_in_their_turn_no_ledger_entry_is_looked_up(rosa: Restaurant, mocker: MockerFixture) -> None:
    find_of = mocker.spy(FakeRecords, "find_of")
    for minutes in (0, 0, 5):
        rosa.now += timedelta(minutes=minutes)
        await rosa.send()
    assert find_of.call_count == 0
    await rosa.send(at=NOW - HOUR)
    assert find_of.call_count == 1


async def test_a_hundred_first_messages_in_one_batch_open_one_conversation_and_take_one_read(rosa: Restaurant) -> None:
    outcomes = await rosa.sends(*[message(direction) for direction in (INBOUND, OUTBOUND) * 50])
    assert [isinstance(outcome, Recorded) and outcome.receipt.message_count for outcome in outcomes] == list(range(1, 101))
    assert (rosa.used(), rosa.store.reads, len(rosa.store.opened)) == (1, 1, 1)


async def test_a_hundred_first_messages_in_transactions_of_their_own_open_one_conversation(rosa: Restaurant) -> None:
    await asyncio.gather(*[rosa.send() for _ in range(100)])
    assert (rosa.used(), rosa.spans()[0].message_count) == (1, 100)


DAY_MINUTES = st.lists(st.tuples(st.integers(0, 24 * 60), st.integers(1, 3)), min_size=1, max_size=30)


@given(st.data(), DAY_MINUTES, st.integers(1, 10))
def test_in_any_order_and_any_batches_conversations_and_the_usage_of_each_day_are_those_of_the_sorted_day(
    data: st.DataObject, sent: list[tuple[int, int]], size: int
) -> None:
    """NOW is noon, so that the day that may lie behind a message has a midnight in it."""
    rosa = Restaurant("daily")
    arriving = [
        message(at=NOW - timedelta(minutes=minute), counterparty=guest(number)) for minute, number in data.draw(st.permutations(sent))
    ]
    arriving += data.draw(st.lists(st.sampled_from(arriving), max_size=3))

    async def send_all() -> None:
        for start in range(0, len(arriving), size):
            await rosa.sends(*arriving[start : start + size])

    asyncio.run(send_all())
    expected = [
        span
        for number in range(1, 4)
        for span in conversations_in_order([NOW - timedelta(minutes=minute) for minute, of in sent if of == number], Window(HOUR))
    ]
    assert sorted(rosa.spans()) == sorted(expected)
    midnight = NOW.replace(hour=0)
    for day in (Period(midnight - timedelta(days=1), midnight), Period(midnight, midnight + timedelta(days=1))):
        assert rosa.used(day) == sum(span.started_at in day for span in expected)
    assert rosa.store.counters["rosa", "conversations"].used == rosa.used(Period(midnight, midnight + timedelta(days=1)))
    for conversation in rosa.store.conversations.values():
        booked = sum(record.quantity for record in rosa.store.ledger if record.origin.reference == str(conversation.id))
        assert booked == (conversation.merged_into is None)
