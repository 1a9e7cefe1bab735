"""What nobody needs any more goes, a bite at a time; what somebody may still need stays."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from core.metering.balance import Amount
from core.metering.finish_reservation import CommitReservationCommand
from core.metering.idempotency import KEPT_FOR, IdempotencyKeyReused, Replay
from core.metering.reserve_usage import Reserved, ReserveUsageCommand
from infrastructure.sql.upkeep.sweep import BITE_ROWS, HOLDS_KEPT_FOR
from tests.integration.in_process import NOW, Engine, consume, engine_on
from tests.unit.fakes.calls import calls

INSTANT = timedelta(microseconds=1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def keys(database: Any, count: int, created_at: datetime) -> None:
    await database.execute(
        "INSERT INTO idempotency_key SELECT 'acme', gen_random_uuid(), '', '', $2 FROM generate_series(1, $1)", count, created_at
    )


async def holds(database: Any, count: int, expires_at: datetime) -> None:
    await database.execute(
        "INSERT INTO usage_hold SELECT 'acme', 'calls', gen_random_uuid(), 1, $2 FROM generate_series(1, $1)", count, expires_at
    )


async def left(database: Any, table: str) -> int:
    count: int = await database.fetchval(f"SELECT count(*) FROM {table}")
    return count


async def test_old_keys_and_holds_go_and_young_ones_stay(engine: Engine, database: Any) -> None:
    await keys(database, 3, NOW - KEPT_FOR - INSTANT)
    await keys(database, 5, NOW - KEPT_FOR)
    await holds(database, 7, NOW - HOLDS_KEPT_FOR - INSTANT)
    await holds(database, 11, NOW - HOLDS_KEPT_FOR)
    await holds(database, 13, NOW + timedelta(minutes=5))
    assert await engine.container.sweeper().sweep() == 3 + 7
    assert (await left(database, "idempotency_key"), await left(database, "usage_hold")) == (5, 24)
    assert await engine.container.sweeper().sweep() == 0


async def test_more_than_a_bite_goes_in_several_transactions(engine: Engine, database: Any, mocker: Any) -> None:
    await keys(database, 2 * BITE_ROWS + 1, NOW - 2 * KEPT_FOR)
    bites = mocker.spy(engine.container.connections(), "ask")
    assert await engine.container.sweeper().sweep() == 2 * BITE_ROWS + 1
    assert await left(database, "idempotency_key") == 0
    assert bites.call_count >= 3


async def test_what_somebody_else_has_in_hand_is_left_for_another_time_and_holds_nobody_up(engine: Engine, database: Any) -> None:
    await keys(database, 3, NOW - 2 * KEPT_FOR)
    async with database.transaction():
        await database.execute("SELECT 1 FROM idempotency_key LIMIT 1 FOR UPDATE")
        assert await engine.container.sweeper().sweep() == 2
    assert await engine.container.sweeper().sweep() == 1


async def test_a_key_repeats_its_answer_for_30_days_and_is_free_after_the_sweep(engine: Engine) -> None:
    acme = await engine.customer(calls=100)
    use_case = engine.container.consume_usage()
    await use_case.execute(calls(consume(acme, "calls", key="k")))
    engine.now = NOW + KEPT_FOR
    await engine.container.sweeper().sweep()
    repeated, other = await use_case.execute(calls(consume(acme, "calls", key="k"), consume(acme, "calls", 2, key="k")))
    assert isinstance(repeated, Replay)
    assert isinstance(other, IdempotencyKeyReused)
    engine.now += INSTANT
    await engine.container.sweeper().sweep()
    (again,) = await use_case.execute(calls(consume(acme, "calls", 2, key="k")))
    assert again.balances["calls"].used == 2


async def test_a_reservation_whose_hold_was_swept_can_still_be_committed_late(engine: Engine, database: Any) -> None:
    acme = await engine.customer(calls=100)
    command = ReserveUsageCommand(customer_id=acme, amounts=[Amount("calls", Decimal(4))], ttl=timedelta(seconds=1))
    (reserved,) = await engine.container.reserve_usage().execute(calls(command))
    engine.now = NOW + timedelta(hours=2)
    assert await engine.container.sweeper().sweep() == 1
    (committed,) = await engine.container.commit_reservation().execute(
        calls(CommitReservationCommand(customer_id=acme, reservation_id=reserved.reservation.id, recorded_by="test"))
    )
    assert isinstance(committed, Reserved)
    assert (committed.reservation.late, committed.balances["calls"].used) == (True, 4)
    assert await engine.drift(acme) == []
