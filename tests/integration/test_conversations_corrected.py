"""Conversations that are corrected while messages come in any order, on PostgreSQL, held against a plain count of what there is."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.conversations.conversation import Conversation
from core.conversations.message import Direction
from core.conversations.record_message import RecordMessageCommand
from core.conversations.window import Window
from core.customers.customer import Customer
from core.errors import DomainError
from core.metering.correct_record import CorrectRecordCommand
from core.metering.ledger import LedgerQuery, UsageRecord
from core.plans.drafts import MeteredDraft, PlanDraft
from core.plans.periods import Billing, Interval, Reset
from tests.integration.in_process import NOW, Engine, engine_on
from tests.integration.restaurants import guest
from tests.unit.fakes.calls import calls

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
DAYS = 36
ALL = 100_000
WINDOWS = {
    "extending": Window(timedelta(hours=1)),
    "fixed": Window(timedelta(hours=1), extending=False),
    "capped": Window(timedelta(hours=1), messages_max=2),
}

MOVES = st.lists(
    st.tuples(st.sampled_from(["send", "send", "send", "correct"]), st.integers(0, 35 * 24 * 60), st.integers(1, 2), st.integers(0, 5)),
    min_size=1,
    max_size=30,
)

_ids = count(1)


@pytest.fixture
def engine_in_loop(database_url: str) -> Iterator[tuple[Engine, asyncio.Runner]]:
    """The engine, and the loop that it runs in: hypothesis calls no coroutines."""
    with asyncio.Runner() as runner:
        opened = engine_on(database_url, now=NOW)
        engine = runner.run(opened.__aenter__())
        for key, window in WINDOWS.items():
            draft = PlanDraft(key, key, {"conversations": MeteredDraft(None, Reset.DAY, options=(window,))})
            runner.run(engine.publish(draft))
        yield engine, runner
        runner.run(opened.__aexit__(None, None, None))


class Restaurant:
    """A customer whose usage begins anew every day."""

    def __init__(self, engine: Engine, window: str) -> None:
        self.engine, self.window, self.id = engine, window, f"restaurant-{next(_ids)}"

    async def opens(self) -> None:
        billing = Billing(None, Interval.MONTH, ZoneInfo("UTC"))
        await self.engine.put(Customer(self.id, self.window, 1, billing, created_at=NOW, updated_at=NOW))

    async def receives(self, messages: list[tuple[datetime, str]]) -> None:
        """In one transaction."""
        commands = [
            RecordMessageCommand(
                customer_id=self.id,
                direction=Direction.INBOUND,
                counterparty=counterparty,
                message_id=f"m{next(_ids)}",
                recorded_by="test",
                sent_at=at,
            )
            for at, counterparty in messages
        ]
        outcomes = await self.engine.container.record_message().execute(calls(*commands))
        assert not [outcome for outcome in outcomes if isinstance(outcome, DomainError)]

    async def gives_back_one(self, age: int) -> None:
        """Of what can still be given back."""
        records = await self.records()
        left = [record for record in records if record.corrects is None and _total(record, records) > 0]
        if left:
            record = left[age % len(left)]
            command = CorrectRecordCommand(self.id, record.id, Decimal(-1), "refund", "admin")
            (outcome,) = await self.engine.container.correct_record().execute(calls(command))
            assert not isinstance(outcome, DomainError), outcome

    async def records(self) -> list[UsageRecord]:
        return list(await self.engine.container.ledger_reader().newest(LedgerQuery(self.id, ALL)))

    async def conversations(self) -> list[Conversation]:
        return list(await self.engine.container.conversation_reader().newest(self.id, ALL, None))

    async def agrees(self) -> None:
        """Each day's usage is the number of its conversations without those that were given back, and nothing stands below zero."""
        records, conversations = await self.records(), await self.conversations()
        refunded = {record.origin.reference for record in records if record.origin.source == "correction"}
        assert all(_total(record, records) >= 0 for record in records if record.corrects is None)
        for start in (MIDNIGHT - day * DAY for day in range(DAYS)):
            booked = sum(record.quantity for record in records if start <= record.occurred_at < start + DAY)
            expected = sum(str(item.id) not in refunded for item in conversations if start <= item.started_at < start + DAY)
            assert booked == expected, start
        account = await self.engine.container.account_reader().read(self.id, ["conversations"], NOW)
        assert account.balance("conversations").used == sum(r.quantity for r in records if MIDNIGHT <= r.occurred_at < MIDNIGHT + DAY)
        assert await self.engine.drift(self.id) == []


def _total(record: UsageRecord, records: list[UsageRecord]) -> int:
    return record.quantity + sum(item.quantity for item in records if item.corrects == record.id)


@pytest.mark.parametrize("window", WINDOWS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(moves=MOVES, size=st.integers(1, 4))
def test_in_any_order_usage_is_the_conversations_of_each_day_without_those_that_were_given_back(
    engine_in_loop: tuple[Engine, asyncio.Runner], window: str, moves: list[tuple[str, int, int, int]], size: int
) -> None:
    engine, runner = engine_in_loop

    async def play() -> None:
        restaurant = Restaurant(engine, window)
        await restaurant.opens()
        waiting: list[tuple[datetime, str]] = []
        for move, minute, number, age in moves:
            if move == "send":
                # Near to each other now and then, so that they merge and move.
                waiting.append((NOW - minute // (1, 40, 400)[age % 3] * MINUTE, guest(number)))
            else:
                await restaurant.gives_back_one(age)
            if len(waiting) >= size:
                await restaurant.receives(waiting)
                waiting = []
        await restaurant.receives(waiting)
        await restaurant.agrees()

    runner.run(play())
