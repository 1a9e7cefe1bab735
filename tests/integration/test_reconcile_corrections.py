"""What was given back already is not taken back again: repairs agree with corrections, and nothing falls below zero by either."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

import pytest

from core.conversations.message import Direction
from core.conversations.record_message import Recorded, RecordMessageCommand
from core.metering.correct_record import Corrected, CorrectRecordCommand
from core.metering.use_case import Call, execute_one
from core.reconciliation.drift import Drift
from core.sessions.fail_session import FailSessionCommand
from tests.integration.drifting import NOVEMBER, OCTOBER, Behind, create_session, repair
from tests.integration.in_process import NOW, Engine, engine_on

BOOKED_AGAIN = """
    INSERT INTO usage_record (customer_id, id, feature, quantity, occurred_at, recorded_at, source, reference, overage)
    SELECT customer_id, gen_random_uuid(), feature, quantity, coalesce($2, occurred_at), recorded_at, source, reference, 0
    FROM usage_record WHERE customer_id = $1 AND corrects IS NULL AND reference = $3
"""
"""At another instant, or the same."""

DELETED = """
    DELETE FROM usage_record AS r WHERE r.reference = $1 AND r.corrects IS NULL
    AND NOT EXISTS (SELECT 1 FROM usage_record AS c WHERE c.customer_id = r.customer_id AND c.corrects = r.id)
"""
"""What nobody has corrected."""


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def acme(engine: Engine) -> str:
    return await engine.customer("acme", sessions=100, minutes=500, conversations=10)


@pytest.fixture
def database(database_url: str) -> Behind:
    return Behind(database_url)


async def session(engine: Engine, customer_id: str) -> UUID:
    return (await create_session(engine, customer_id)).id


async def correct_all(engine: Engine, database: Behind, customer_id: str) -> None:
    """Takes every record down to nothing, as an administrator would."""
    for row in await database.change("SELECT id FROM usage_record WHERE customer_id = $1 AND corrects IS NULL ORDER BY id", customer_id):
        command = CorrectRecordCommand(customer_id, row["id"], Decimal(-1), "refund", "admin")  # type: ignore[arg-type]
        assert isinstance(await execute_one(engine.container.correct_record(), command), Corrected)


async def fail(engine: Engine, customer_id: str, session_id: UUID) -> None:
    await execute_one(engine.container.fail_session(), FailSessionCommand(customer_id, session_id, "silence", "test", give_back=True))


async def quantities(database: Behind, customer_id: str, feature: str = "sessions") -> list[tuple[int, bool]]:
    """Of the ledger, and whether they are corrections, in the order in which they occurred."""
    rows = await database.change(
        "SELECT quantity, corrects FROM usage_record WHERE customer_id = $1 AND feature = $2 ORDER BY occurred_at, quantity DESC",
        *(customer_id, feature),
    )
    return [(row["quantity"], row["corrects"] is not None) for row in rows]  # type: ignore[misc]


async def test_what_a_refund_has_given_back_is_no_drift(engine: Engine, acme: str, database: Behind) -> None:
    await session(engine, acme)
    await correct_all(engine, database, acme)
    await fail(engine, acme, await session(engine, acme))
    assert await engine.drift(acme) == []
    assert (await engine.balance(acme, "sessions")).used == 0


async def test_what_is_too_much_and_was_corrected_by_hand_is_not_taken_back_again(engine: Engine, acme: str, database: Behind) -> None:
    id = await session(engine, acme)
    await database.change(BOOKED_AGAIN, acme, None, str(id))
    (row,) = await database.change("SELECT id FROM usage_record ORDER BY id LIMIT 1")
    command = CorrectRecordCommand(acme, row["id"], Decimal(-1), "booked twice", "admin")  # type: ignore[arg-type]
    await execute_one(engine.container.correct_record(), command)
    assert {item.where for item in await engine.drift(acme)} == {"counter"}
    assert await repair(engine, acme) == 0
    assert await engine.drift(acme) == []
    assert await quantities(database, acme) == [(1, False), (1, False), (-1, True)]
    assert (await engine.balance(acme, "sessions")).used == 1


async def test_what_a_repair_has_taken_back_hides_nothing_that_is_too_much_later(engine: Engine, acme: str, database: Behind) -> None:
    id = await session(engine, acme)
    for surplus in (1, 2):  # each time, every record comes once more
        await database.change(BOOKED_AGAIN, acme, None, str(id))
        assert await repair(engine, acme) == surplus
        assert await engine.drift(acme) == []
        assert (await engine.balance(acme, "sessions")).used == 1


async def test_of_what_is_too_much_only_what_is_left_is_taken_back(engine: Engine, acme: str, database: Behind) -> None:
    """Booked three times and refunded once: one is too much, and the refund stands."""
    id = await session(engine, acme)
    await correct_all(engine, database, acme)
    for _ in range(2):
        await database.change(BOOKED_AGAIN.replace("AND reference", "AND recorded_by IS NOT NULL AND reference"), acme, None, str(id))
    assert await repair(engine, acme) == 1
    assert await engine.drift(acme) == []
    assert [quantity for quantity, _ in await quantities(database, acme)] == [1, 1, 1, -1, -1]


async def test_what_is_too_much_is_taken_back_in_the_period_that_has_it(engine: Engine, acme: str, database: Behind) -> None:
    id = await session(engine, acme)
    await database.change(BOOKED_AGAIN, acme, OCTOBER.end - timedelta(days=1), str(id))
    assert await engine.drift(acme) == [Drift(acme, "sessions", OCTOBER, "ledger", recorded=1, expected=0)]
    assert await repair(engine, acme) == 1
    assert await engine.drift(acme) == []
    assert await quantities(database, acme) == [(1, False), (-1, True), (1, False)]
    assert (await engine.balance(acme, "sessions")).used == 1


async def test_a_record_that_was_deleted_after_it_was_refunded_is_booked_again_and_stays_refunded(
    engine: Engine, acme: str, database: Behind
) -> None:
    await session(engine, acme)
    await correct_all(engine, database, acme)
    await database.change("DELETE FROM usage_record WHERE customer_id = $1 AND corrects IS NULL", acme)
    assert await repair(engine, acme) == 1
    assert await engine.drift(acme) == []
    assert (await engine.balance(acme, "sessions")).used == 0


async def test_two_conversations_that_were_refunded_and_are_merged_take_nothing_below_zero(
    engine: Engine, acme: str, database: Behind
) -> None:
    """An inbound conversation a day ago, another now, both corrected by -1, then a message between them that merges them."""
    yesterday = NOW - timedelta(hours=24)
    for number, sent_at in enumerate((yesterday, NOW, NOW - timedelta(hours=12))):
        if number == 2:
            await correct_all(engine, database, acme)
        command = RecordMessageCommand(acme, Direction.INBOUND, "+14155552671", f"m{number}", "test", sent_at=sent_at)
        recorded = await execute_one(engine.container.record_message(), command)
        assert isinstance(recorded, Recorded)
        assert recorded.receipt.new_conversation is (number < 2)
    balance = await engine.balance(acme, "conversations")
    assert (balance.used, balance.remaining) == (0, 10)
    assert await engine.drift(acme) == []


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_was_changed_behind_its_back_one_repair_makes_all_agree_and_leaves_nothing_below_zero(
    engine: Engine, acme: str, database: Behind, seed: int
) -> None:
    choice = Random(seed)
    for _ in range(12):
        id = await session(engine, acme)
        for happens in choice.sample(["doubled", "doubled elsewhere", "refunded", "failed", "deleted"], choice.randint(0, 4)):
            match happens:
                case "doubled":
                    await database.change(BOOKED_AGAIN, acme, None, str(id))
                case "doubled elsewhere":
                    await database.change(BOOKED_AGAIN, acme, NOW - timedelta(days=choice.randint(1, 60)), str(id))
                case "refunded":
                    await refund_one(engine, database, acme, id, choice)
                case "failed":
                    await fail(engine, acme, id)
                case "deleted":
                    await database.change(DELETED, str(id))
    await database.change("UPDATE usage_counter SET used = used + 1, period_start = $1, period_end = $2", NOVEMBER.start, NOVEMBER.end)
    await repair(engine, acme)
    assert await engine.drift(acme) == []
    totals = await database.change("SELECT CAST(sum(quantity) AS bigint) AS total FROM usage_record GROUP BY reference, occurred_at")
    assert {row["total"] for row in totals} == {0, 1}, "so that no period is below zero, whatever its bounds"


async def refund_one(engine: Engine, database: Behind, customer_id: str, session_id: UUID, choice: Random) -> None:
    rows = await database.change("SELECT id FROM usage_record WHERE reference = $1 AND corrects IS NULL ORDER BY id", str(session_id))
    if rows:
        command = CorrectRecordCommand(customer_id, choice.choice(rows)["id"], Decimal(-1), "refund", "admin")  # type: ignore[arg-type]
        await engine.container.correct_record().execute([Call(command)])
