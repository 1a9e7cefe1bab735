"""Conversations that were corrected, merged and moved agree with the ledger; and what the ledger lost of them is found and mended."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from core.conversations.message import Direction
from core.conversations.record_message import RecordMessageCommand
from core.metering.correct_record import Corrected, CorrectRecordCommand
from core.metering.ledger import LedgerQuery
from tests.integration.drifting import NOVEMBER, Behind, repair
from tests.integration.in_process import Engine, engine_on
from tests.unit.fakes.calls import calls


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def acme(engine: Engine) -> str:
    return await engine.customer("acme", conversations=100)


@pytest.fixture
def database(database_url: str) -> Behind:
    return Behind(database_url)


async def receive(engine: Engine, customer_id: str, *sent_at: datetime, counterparty: str = "+14155552671") -> list[str]:
    """Messages at these instants, in one batch; the conversations that they were counted into."""
    messages = [
        RecordMessageCommand(
            customer_id=customer_id,
            direction=Direction.INBOUND,
            counterparty=counterparty,
            message_id=str(uuid4()),
            recorded_by="test",
            sent_at=at,
        )
        for at in sent_at
    ]
    outcomes = await engine.container.record_message().execute(calls(*messages))
    return [str(outcome.receipt.conversation_id) for outcome in outcomes]


async def give_back(engine: Engine, customer_id: str, reference: str) -> None:
    """An administrator corrects what was booked for it last."""
    ledger = await engine.container.ledger_reader().newest(LedgerQuery(customer_id, 100, reference=reference))
    booked = max((record for record in ledger if record.corrects is None), key=lambda record: record.id)
    command = CorrectRecordCommand(customer_id, booked.id, Decimal(-1), "refund", "admin")
    (outcome,) = await engine.container.correct_record().execute(calls(command))
    assert isinstance(outcome, Corrected), outcome


async def test_what_was_given_back_of_conversations_is_no_drift_whatever_became_of_them(engine: Engine, acme: str) -> None:
    hours, start = timedelta(hours=1), NOVEMBER.start
    for day, before in ((3, True), (6, False)):
        at = start + timedelta(days=day)
        first, second = await receive(engine, acme, at, at + 26 * hours)
        if before:
            for id in (first, second):
                await give_back(engine, acme, id)
        await receive(engine, acme, at + 13 * hours)
        if not before:
            await give_back(engine, acme, first)
    (moved,) = await receive(engine, acme, start + hours, counterparty="12345@lid")
    await receive(engine, acme, start - hours, counterparty="12345@lid")
    assert await engine.drift(acme) == []
    await give_back(engine, acme, moved)
    assert await engine.drift(acme) == []
    assert await repair(engine, acme) == 0
    assert (await engine.balance(acme, "conversations")).used == 0


async def test_what_the_ledger_lost_of_a_conversation_is_repaired_beside_what_was_given_back(
    engine: Engine, acme: str, database: Behind
) -> None:
    at = NOVEMBER.start + timedelta(days=3)
    for counterparty in ("12345@lid", "67890@lid"):
        first, second = await receive(engine, acme, at, at + timedelta(hours=26), counterparty=counterparty)
        if counterparty == "12345@lid":
            await give_back(engine, acme, second)
        await receive(engine, acme, at + timedelta(hours=13), counterparty=counterparty)
    await database.change("DELETE FROM usage_record WHERE customer_id = $1 AND reason = 'merged'", acme)
    await database.change("DELETE FROM usage_record WHERE customer_id = $1 AND reference = $2", acme, first)
    assert [(item.where, item.difference) for item in await engine.drift(acme)] == [("ledger", 0)], "one is missing, and one too many"
    assert await repair(engine, acme) == 2
    assert await engine.drift(acme) == []
    assert (await engine.balance(acme, "conversations")).used == 2
