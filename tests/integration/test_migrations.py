"""Before and after a migration: what an older release has stored goes on, and that release goes on beside the new one."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from core.conversations.message import Direction
from core.conversations.record_message import RecordMessageCommand
from core.errors import DomainError
from core.learning.practice_session import Practice
from core.learning.save_practice_session import SavePracticeSessionCommand
from core.metering.balance import LimitExceeded
from core.metering.consume_usage import Consumed
from core.metering.finish_reservation import CommitReservationCommand
from core.metering.idempotency import Once, Replay
from core.metering.use_case import Call
from core.operations.add_step import AddStepCommand
from core.sessions.complete_session import CompleteSessionCommand
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.engine import accounts
from infrastructure.sql.upkeep.migrate import upgrade
from tests.integration.in_process import NOW, Engine, consume, engine_on
from tests.integration.service import Databases
from tests.unit.fakes.calls import calls

NOVEMBER: Final = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER: Final = datetime(2026, 12, 1, tzinfo=UTC)
LATER: Final = NOW + timedelta(hours=1)
IDS: Final = [UUID(int=n) for n in range(10)]

ENTITLEMENTS: Final = {
    "sessions": {"type": "metered", "limit": 10, "reset": "billing_period", "enforcement": "hard"},
    "minutes": {"type": "metered", "limit": 30_000, "reset": "billing_period", "enforcement": "soft"},
    "practice_sessions": {"type": "metered", "limit": None, "reset": "month", "enforcement": "hard"},
    "ai_runs": {"type": "metered", "limit": 30, "reset": "month", "enforcement": "hard"},
    "ai_cost": {"type": "metered", "limit": 3_000_000_000, "reset": "month", "enforcement": "hard"},
    "conversations": {
        "type": "metered",
        "limit": 5,
        "reset": "billing_period",
        "enforcement": "hard",
        "window": {"length_seconds": 7_200, "extending": False, "messages_max": 3},
    },
    "max_file_size_mb": {"type": "static", "value": "2.5"},
    "exports": {"type": "boolean", "enabled": True},
}

STORED: Final[dict[str, list[tuple[Any, ...]]]] = {
    "plan_version": [("pro", 1, "Pro", json.dumps(ENTITLEMENTS))],
    "customer": [("acme", "pro", 1, NOVEMBER, "month", "Europe/Vienna", "US", NOVEMBER, NOVEMBER)],
    "usage_counter": [("acme", "sessions", 4, NOVEMBER, DECEMBER), ("acme", "conversations", 0, None, None)],
    "usage_record": [
        ("acme", IDS[1], "sessions", 3, NOW, NOW, "test", "key 1", "order 7", 0, None, None, None, None),
        ("acme", IDS[7], "sessions", 1, NOW, NOW, "sessions", "app", str(IDS[1]), 0, None, None, None, None),
        ("acme", IDS[2], "conversations", 1, NOW, NOW, "conversations", "app", str(IDS[6]), 0, None, None, None, None),
        ("acme", IDS[3], "sessions", 99, NOVEMBER - timedelta(1), NOW, "test", None, None, 0, None, None, "event 1", None),
    ],
    "reservation": [
        ("acme", IDS[4], "held", '{"sessions": 3}', '{"sessions": 3}', None, False, "order 8", NOW, LATER, None),
        ("acme", IDS[5], "held", '{"practice_sessions": 1}', '{"practice_sessions": 1}', None, False, "monday", NOW, LATER, None),
    ],
    "usage_hold": [("acme", "sessions", IDS[4], 3, LATER), ("acme", "practice_sessions", IDS[5], 1, LATER)],
    "idempotency_key": [("acme", "key 1", b"asked", b"answered", NOW)],
    "coaching_session": [("acme", IDS[1], "Talk", "en-US", "auto", "pending", IDS[2], "audio/mp4", 55, None, None, NOW, None)],
    "learning_plan": [("acme", "plan", "es", "B1", 8, 2, NOW)],
    "practice_session": [("acme", "monday", "plan", NOW, IDS[5], None, None, None, None, False)],
    "ai_operation": [("acme", "scan", "card_scan", None, None, None, "running", 0, 0, 0, NOW, None)],
    "conversation": [("acme", IDS[6], "+14155552671", NOW, NOW + timedelta(hours=2), 1, None)],
}
"""What the release whose last migration was 0006 has stored of a customer, in the order of the columns."""

LOCK_AS_BEFORE: Final = "SELECT * FROM lock_accounts($1, $2, $3, $4)"
ASKED: Final = (["acme"], ["sessions"], ["acme"], NOW)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """An empty one."""
    url = databases.empty()
    yield url
    databases.drop(url)


async def upgraded(database_url: str, revision: str = "head") -> None:
    engine = create_engine(database_url)
    await upgrade(engine, revision)
    await engine.dispose()


@pytest.fixture
async def before(database_url: str) -> AsyncIterator[Any]:
    """A connection of the old release to the old schema, with a customer in the middle of its life."""
    await upgraded(database_url, "0006")
    connection = await asyncpg.connect(database_url)
    for table, rows in STORED.items():
        await connection.copy_records_to_table(table, records=rows)
    yield connection
    await connection.close()


@pytest.fixture
async def engine(before: Any, database_url: str) -> AsyncIterator[Engine]:
    """The new release on the new schema."""
    await upgraded(database_url)
    async with engine_on(database_url) as engine:
        yield engine


async def outcome(use_case: Any, command: Any) -> Any:
    (outcome,) = await use_case.execute(calls(command))
    return outcome


async def test_usage_holds_and_replies_of_before_count(engine: Engine) -> None:
    container = engine.container
    balance = await engine.balance("acme", "sessions")
    assert (balance.used, balance.held, balance.limit) == (4, 3, 10)
    assert await engine.drift("acme") == []

    assert isinstance(await outcome(container.consume_usage(), consume("acme", "sessions", 4)), LimitExceeded)
    assert isinstance(await outcome(container.consume_usage(), consume("acme", "sessions", 3)), Consumed)
    repeat = Call(consume("acme", "sessions", 1).command, Once("key 1", b"asked", lambda result: b""))
    assert await outcome(container.consume_usage(), repeat) == Replay(b"answered")
    committed = await outcome(container.commit_reservation(), CommitReservationCommand("acme", IDS[4], "test"))
    assert (committed.reservation.late, committed.balances["sessions"].used) == (False, 10)
    assert await engine.drift("acme") == []


async def test_what_products_had_begun_before_is_finished_after(engine: Engine) -> None:
    container = engine.container
    finished: dict[Any, Any] = {
        container.complete_session(): CompleteSessionCommand(
            customer_id="acme", session_id=IDS[1], duration_seconds=60, recorded_by="test"
        ),
        container.save_practice_session(): SavePracticeSessionCommand(
            customer_id="acme", practice=Practice(540), recorded_by="test", id="monday"
        ),
        container.add_step(): AddStepCommand(
            customer_id="acme", operation_id="scan", feature="ocr", cost=Decimal("0.5"), billable_run=True, recorded_by="test"
        ),
        container.record_message(): RecordMessageCommand(
            customer_id="acme", direction=Direction.OUTBOUND, counterparty="(415) 555-2671", message_id="m", recorded_by="test"
        ),
    }
    session, practice, added, recorded = [await outcome(use_case, command) for use_case, command in finished.items()]
    assert not any(isinstance(one, DomainError) for one in (session, practice, added, recorded))
    assert (session.status.value, session.file.size_bytes) == ("completed", 55)
    assert (practice.plan.practised_sessions, practice.balance.used, practice.balance.held) == (1, 1, 0)
    assert (added.operation.total_cost, added.step.position) == (500_000_000, 1)
    assert (recorded.receipt.conversation_id, recorded.receipt.message_count) == (IDS[6], 2)
    assert (recorded.receipt.expires_at, recorded.receipt.usage.used) == (NOW + timedelta(hours=2), 1)
    assert await engine.drift("acme") == []


async def test_a_release_that_has_not_moved_yet_locks_the_same_counters_by_the_function_that_it_knows(engine: Engine, before: Any) -> None:
    await outcome(engine.container.consume_usage(), consume("acme", "sessions"))
    async with before.transaction():
        counter, customer, held = await before.fetch(LOCK_AS_BEFORE, *ASKED)
        assert (counter["used"], counter["period_start"], held["held"]) == (5, NOVEMBER, 3)
        assert (customer["plan_key"], customer["time_zone"], customer["phone_region"]) == ("pro", "Europe/Vienna", "US")
        waiting = asyncio.create_task(outcome(engine.container.consume_usage(), consume("acme", "sessions")))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await before.execute("UPDATE usage_counter SET used = 6 WHERE customer_id = 'acme' AND feature = 'sessions'")
    assert (await waiting).balances["sessions"].used == 7


async def test_each_function_keeps_the_version_before_it_and_the_code_calls_the_newest(engine: Engine, before: Any) -> None:
    """So that machines can be moved to a new release one by one."""
    names = [row["proname"] for row in await before.fetch("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")]
    versions = sorted(int(found[1] or 1) for name in names if (found := re.fullmatch(r"lock_accounts(?:_v(\d+))?", name)))
    assert len(versions) >= 2
    assert versions == list(range(versions[0], versions[-1] + 1))
    assert re.search(rf"\block_accounts_v{versions[-1]}\(", accounts._LOCK._sql)


async def test_the_function_of_before_answers_as_before(before: Any, database_url: str) -> None:
    answered = await before.fetch(LOCK_AS_BEFORE, *ASKED)
    await upgraded(database_url)
    assert len(answered) == 3
    assert await before.fetch(LOCK_AS_BEFORE, *ASKED) == answered
