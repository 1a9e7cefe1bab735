"""A unique violation that means a lost race is run again; any other is a mistake of ours, and told at once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from pytest_mock import MockerFixture

from core.conversations.message import Direction
from core.conversations.record_message import Recorded, RecordMessage, RecordMessageCommand
from core.errors import BrokenCommand, ConcurrentUpdate
from core.metering.balance import Amount
from core.metering.ingest_events import IngestEventCommand
from core.metering.use_case import Call
from infrastructure.batching import group_commit
from infrastructure.batching.group_commit import GroupCommit
from infrastructure.sql.driver.errors import LOST_RACES, storage_errors
from infrastructure.sql.engine.accounts import WRITTEN_AHEAD
from tests.integration import kinds
from tests.integration.in_process import Engine, engine_on
from tests.unit.fakes.calls import calls

KNOWN, NEW = "m1", "another"
"""The message that is stored, and one that is not."""


class Forgetful(RecordMessage):
    """Saves a message, and does not look whether there is one already under its id."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.transactions = 0

    async def execute(self, commands: Sequence[Any]) -> Any:
        self.transactions += 1
        return await super().execute(commands)

    def decide(self, command: RecordMessageCommand, account: Any, uow: Any) -> Recorded:
        message = kinds.messages(command.customer_id).first._replace(id=command.message_id)
        uow.messages.save(message)
        return Recorded(message.receipt)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def forgetful(engine: Engine) -> Forgetful:
    """For whom one message is stored."""
    await engine.customer("acme", conversations=None)
    parts = engine.container.unit_of_work, engine.time, engine.container.new_id(), engine.container.phone_numbers()
    forgetful = Forgetful(*parts)
    await forgetful.execute(calls(message(KNOWN)))
    forgetful.transactions = 0
    return forgetful


def message(id: str) -> RecordMessageCommand:
    return RecordMessageCommand(
        customer_id="acme", direction=Direction.INBOUND, counterparty="+14155552671", message_id=id, recorded_by="test"
    )


async def test_a_command_that_violates_a_constraint_for_good_fails_at_once_with_the_violation(
    forgetful: Forgetful, mocker: MockerFixture
) -> None:
    pause = mocker.spy(group_commit, "back_off")
    with pytest.raises(asyncpg.UniqueViolationError) as violation:
        await GroupCommit(forgetful).execute(calls(message(KNOWN)))
    assert violation.value.constraint_name == "pk_message"
    assert (forgetful.transactions, pause.call_count) == (1, 0)


async def test_beside_others_of_its_call_it_is_broken_and_logged_and_the_others_stand(
    forgetful: Forgetful, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    pause = mocker.spy(group_commit, "back_off")
    first, broken, last = await GroupCommit(forgetful).execute(calls(message("before"), message(KNOWN), message("after")))
    assert (type(first), type(broken), type(last)) == (Recorded, BrokenCommand, Recorded)
    assert pause.call_count == 0
    (logged,) = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert logged.exc_info is not None
    assert isinstance(logged.exc_info[1], asyncpg.UniqueViolationError)
    assert logged.exc_info[1].constraint_name == "pk_message"


async def test_beside_others_calls_it_fails_alone(forgetful: Forgetful, mocker: MockerFixture) -> None:
    pause = mocker.spy(group_commit, "back_off")
    group = GroupCommit(forgetful)
    ids = [*(f"{NEW} {n}" for n in range(7)), KNOWN, *(f"{NEW} {n}" for n in range(7, 16))]
    outcomes = await asyncio.gather(*(group.execute(calls(message(id))) for id in ids), return_exceptions=True)
    assert [isinstance(outcome, asyncpg.UniqueViolationError) for outcome in outcomes] == [id == KNOWN for id in ids]
    assert pause.call_count == 0


async def test_the_constraints_that_tell_of_lost_races_are_unique_constraints_of_the_schema(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    names = await connection.fetch(
        "SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE i.indisunique AND c.relname = ANY($1)",
        list(LOST_RACES),
    )
    await connection.close()
    assert {name for (name,) in names} == LOST_RACES


@pytest.mark.parametrize("constraint", [*sorted(LOST_RACES), "pk_message", "pk_customer_note", None])
def test_a_violation_is_known_by_its_constraints_name_in_full(constraint: str | None) -> None:
    violation = asyncpg.UniqueViolationError("a message that names pk_customer and uq_usage_record_event")
    violation.constraint_name = constraint
    with pytest.raises(ConcurrentUpdate if constraint in LOST_RACES else asyncpg.UniqueViolationError), storage_errors():
        raise violation


def events(customer_id: str, feature: str, source: str, count: int) -> list[Call[IngestEventCommand]]:
    amount = Amount(feature, Decimal(1))
    return calls(
        *(
            IngestEventCommand(customer_id=customer_id, amounts=[amount], source=source, event_id=str(n), recorded_by="test")
            for n in range(count)
        )
    )


@pytest.mark.parametrize("count", [1, 2 * WRITTEN_AHEAD + 1])
async def test_of_two_processes_that_book_the_same_events_one_runs_again_and_finds_them_booked(
    engine: Engine, database_url: str, count: int
) -> None:
    """As usage of different features, so that no lock is shared. Of a long list most is written before the commit."""
    acme = await engine.customer(calls=None, seats=None)
    async with engine_on(database_url) as other:
        one, another = engine.container.ingest_events(), other.container.ingest_events()
        for attempt in range(4):
            source = f"meter {attempt}"
            outcomes = await asyncio.gather(
                one.execute(events(acme, "calls", source, count)), another.execute(events(acme, "seats", source, count))
            )
            assert [set(booked) for booked in outcomes] in ([{False}, {True}], [{True}, {False}])
    assert sum([(await engine.balance(acme, feature)).used for feature in ("calls", "seats")]) == 4 * count
    assert await engine.drift(acme) == []
