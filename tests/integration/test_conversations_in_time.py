"""What changes for conversations at an exact instant, on PostgreSQL, with a clock that the test sets."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from zoneinfo import ZoneInfo

import pytest

from core.conversations.message import Direction, Receipt
from core.conversations.record_message import Recorded, RecordMessageCommand
from core.conversations.window import Window
from core.customers.customer import Customer
from core.metering.balance import LimitExceeded
from core.metering.use_case import execute_one
from core.plans.drafts import MeteredDraft, PlanDraft
from core.plans.periods import Billing, Interval, Reset
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.driver.statements import HotStatement, driver_of
from infrastructure.sql.products.conversations import FIND_OF, LAST_ID, NEWEST_OF
from tests.integration.in_process import NOW, Engine, engine_on
from tests.integration.restaurants import GUEST, guest

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(hours=24)
INSTANT = timedelta(microseconds=1)

_ids = count(1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url, now=NOW) as engine:
        yield engine


async def restaurant(engine: Engine, limit: int | None = None, window: Window | None = None) -> str:
    id = f"restaurant-{next(_ids)}"
    draft = MeteredDraft(None if limit is None else Decimal(limit), Reset.MONTH, options=() if window is None else (window,))
    await engine.publish(PlanDraft(id, "Own", {"conversations": draft}))
    now = engine.time()
    await engine.put(Customer(id, id, 1, Billing(None, Interval.MONTH, ZoneInfo("UTC")), created_at=now, updated_at=now))
    return id


async def send(
    engine: Engine, id: str, at: datetime | None = None, counterparty: str = GUEST, direction: Direction = Direction.INBOUND
) -> Receipt:
    """At that moment, or sent then and arriving now."""
    command = RecordMessageCommand(
        customer_id=id, direction=direction, counterparty=counterparty, message_id=f"m{next(_ids)}", recorded_by="test", sent_at=at
    )
    recorded = await execute_one(engine.container.record_message(), command)
    assert isinstance(recorded, Recorded)
    return recorded.receipt


async def used(engine: Engine, id: str, at: datetime) -> int:
    account = await engine.container.account_reader().read(id, ["conversations"], at)
    return account.balance("conversations").used


async def test_a_message_at_exactly_the_end_opens_a_new_conversation_and_an_instant_earlier_does_not(engine: Engine) -> None:
    rosa, luigi = await restaurant(engine), await restaurant(engine)
    for id in (rosa, luigi):
        await send(engine, id)
    engine.now = NOW + DAY - INSTANT
    assert (await send(engine, rosa)).message_count == 2
    engine.now = NOW + DAY
    assert (await send(engine, luigi)).new_conversation


async def test_a_conversation_of_many_days_is_one_unit_of_the_month_in_which_it_started(engine: Engine) -> None:
    rosa = await restaurant(engine)
    engine.now = DECEMBER - 3 * DAY
    while engine.now < DECEMBER + 3 * DAY:
        receipt = await send(engine, rosa)
        engine.now += timedelta(hours=23)
    assert receipt.message_count == 7
    assert (await used(engine, rosa, DECEMBER - INSTANT), await used(engine, rosa, DECEMBER)) == (1, 0)


async def test_the_months_totals_add_up_over_the_periods_and_the_quota_begins_anew(engine: Engine) -> None:
    rosa = await restaurant(engine, limit=4)
    engine.now = DECEMBER - timedelta(hours=2)
    for number in range(4):
        await send(engine, rosa, counterparty=guest(number), direction=Direction.OUTBOUND)
    with pytest.raises(LimitExceeded) as refusal:
        await send(engine, rosa, counterparty=guest(9), direction=Direction.OUTBOUND)
    assert refusal.value.facts()["resets_at"] == DECEMBER
    engine.now = DECEMBER
    assert (await send(engine, rosa, counterparty=guest(9), direction=Direction.OUTBOUND)).usage.used == 1
    late = await send(engine, rosa, counterparty=guest(10), at=DECEMBER - INSTANT)
    assert (late.new_conversation, late.usage.used) == (True, 1)
    assert (await used(engine, rosa, DECEMBER - INSTANT), await used(engine, rosa, DECEMBER)) == (5, 1)
    assert await engine.drift(rosa) == []


async def test_a_late_message_takes_the_unit_into_last_month_and_a_merge_gives_one_back_there(engine: Engine) -> None:
    rosa = await restaurant(engine, window=Window(timedelta(hours=1)))
    engine.now = DECEMBER + timedelta(hours=1)
    minute = timedelta(minutes=1)
    await send(engine, rosa, DECEMBER)
    await send(engine, rosa, DECEMBER - 90 * minute)
    assert (await used(engine, rosa, DECEMBER - INSTANT), await used(engine, rosa, DECEMBER)) == (1, 1)
    await send(engine, rosa, DECEMBER - 20 * minute)
    assert (await used(engine, rosa, DECEMBER - INSTANT), await used(engine, rosa, DECEMBER)) == (2, 0)
    receipt = await send(engine, rosa, DECEMBER - 50 * minute)
    assert (receipt.message_count, receipt.expires_at) == (4, DECEMBER + 60 * minute)
    assert (await used(engine, rosa, DECEMBER - INSTANT), await used(engine, rosa, DECEMBER)) == (1, 0)
    assert await engine.drift(rosa) == []


async def test_messages_that_come_five_weeks_late_are_counted_in_the_months_of_then_and_change_nothing_now(engine: Engine) -> None:
    rosa = await restaurant(engine, limit=1)
    engine.now = DECEMBER + 3 * DAY
    await send(engine, rosa)
    october = NOW - 22 * DAY
    assert october + 35 * DAY > engine.now
    for at in (october, october + DAY / 2, NOW, NOW + DAY / 2):
        receipt = await send(engine, rosa, at)
        assert (receipt.usage.used, receipt.started_at) == (1, october if at < NOW else NOW)
    assert [await used(engine, rosa, at) for at in (october, NOW, engine.time())] == [1, 1, 1]
    assert (await send(engine, rosa, NOW, counterparty=guest(1))).over_limit is True
    assert (await send(engine, rosa, engine.time() - 35 * DAY, counterparty=guest(2))).over_limit is True
    assert [await used(engine, rosa, at) for at in (october, NOW, engine.time())] == [2, 2, 1]
    assert await engine.drift(rosa) == []


async def test_outbound_that_comes_weeks_late_counts_into_the_conversation_of_then_or_takes_from_the_quota_of_now(engine: Engine) -> None:
    rosa = await restaurant(engine, limit=1)
    await send(engine, rosa)
    engine.now = DECEMBER + 10 * DAY
    answered = await send(engine, rosa, NOW + DAY / 2, direction=Direction.OUTBOUND)
    assert (answered.message_count, answered.new_conversation) == (2, False)
    opened = await send(engine, rosa, NOW, counterparty=guest(1), direction=Direction.OUTBOUND)
    assert (opened.started_at, opened.usage.used) == (DECEMBER, 1)
    with pytest.raises(LimitExceeded):
        await send(engine, rosa, NOW, counterparty=guest(2), direction=Direction.OUTBOUND)
    assert await engine.drift(rosa) == []


async def test_a_cap_of_one_makes_every_message_a_conversation_though_they_all_overlap(engine: Engine) -> None:
    rosa = await restaurant(engine, window=Window(messages_max=1))
    for number in range(5):
        engine.now = NOW + timedelta(minutes=number)
        assert (await send(engine, rosa)).new_conversation
    assert await used(engine, rosa, NOW) == 5


OF_A_PARTY = {
    "a message": (FIND_OF, {"customer_ids": ["x"], "counterparties": ["x"], "ends_after": [NOW], "messages_below": [None]}),
    "a list": (
        NEWEST_OF,
        {"customer_id": "x", "counterparty": "x", "before_at": NOW, "before_id": LAST_ID, "active": None, "at": NOW, "limit": 51},
    ),
}


@pytest.mark.parametrize(("statement", "values"), OF_A_PARTY.values(), ids=OF_A_PARTY)
async def test_one_counterpartys_conversations_only_are_looked_at_though_the_table_has_no_statistics_yet(
    database_url: str, statement: str, values: dict[str, object]
) -> None:
    """Any index that begins with the customer would do then, and read all of a restaurant's conversations for each message."""
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        driver = await driver_of(connection)
        for mode in ("force_custom_plan", "force_generic_plan"):
            await driver.execute(f"SET plan_cache_mode = {mode}")
            plan = await HotStatement(f"EXPLAIN {statement}").fetch(driver, values)
            assert "using ix_conversation_window" in str(plan)
    await engine.dispose()


async def test_a_capped_conversation_takes_messages_until_it_is_full(engine: Engine) -> None:
    rosa = await restaurant(engine, window=Window(messages_max=2))
    receipts = [await send(engine, rosa) for _ in range(5)]
    assert [receipt.message_count for receipt in receipts] == [1, 2, 1, 2, 1]
