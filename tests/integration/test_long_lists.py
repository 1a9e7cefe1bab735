"""Lists longer than any that the frame takes, each decided and written in one transaction, meet no limit of the driver.

It takes 32,767 parameters in a statement. What follows on a list is a shorter one, still of more values than that.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from core.conversations.features import CONVERSATIONS
from core.conversations.message import Direction
from core.conversations.record_message import RecordMessage, RecordMessageCommand
from core.errors import DomainError
from core.learning.abandon_practice_session import AbandonPracticeSession, AbandonPracticeSessionCommand
from core.learning.create_learning_plan import CreateLearningPlan, CreateLearningPlanCommand
from core.learning.practice_session import Practice
from core.learning.save_practice_session import SavePracticeSession, SavePracticeSessionCommand
from core.learning.start_practice_session import StartPracticeSession, StartPracticeSessionCommand
from core.learning.take_assessment import TakeAssessment, TakeAssessmentCommand
from core.metering.balance import Amount
from core.metering.consume_usage import ConsumeUsage, ConsumeUsageCommand
from core.metering.correct_record import CorrectRecord, CorrectRecordCommand
from core.metering.extend_reservation import ExtendReservation, ExtendReservationCommand
from core.metering.finish_reservation import (
    CommitReservation,
    CommitReservationCommand,
    ReleaseReservation,
    ReleaseReservationCommand,
)
from core.metering.idempotency import Once
from core.metering.ingest_events import IngestEventCommand, IngestEvents
from core.metering.reserve_usage import ReserveUsage, ReserveUsageCommand
from core.metering.use_case import AccountUseCase, Call
from core.operations.add_step import AddStep, AddStepCommand
from core.operations.finish_operation import FinishOperation, FinishOperationCommand
from core.operations.operation import OperationStatus
from core.operations.start_operation import StartOperation, StartOperationCommand
from core.products import BUILT_IN
from core.reconciliation.repair_usage import RepairCommand, RepairUsage
from core.sessions.complete_session import CompleteSession, CompleteSessionCommand
from core.sessions.confirm_upload import ConfirmUpload, ConfirmUploadCommand
from core.sessions.create_session import CreateSession, CreateSessionCommand
from core.sessions.fail_session import FailSession, FailSessionCommand
from core.sessions.receive_upload import AttachFile, AttachFileCommand
from core.sessions.session import SttProvider, UploadedFile
from infrastructure.batching.group_commit import QUEUE_SIZE_MAX
from tests.integration.in_process import ORIGIN, Engine, engine_on

LENGTH: Final = QUEUE_SIZE_MAX + 1
NUMBERS: Final = range(LENGTH)
FEWER: Final = 3_001
ONE: Final = Decimal(1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def acme(engine: Engine) -> str:
    return await engine.customer("acme", **{feature.key: None for feature in BUILT_IN})


async def done(engine: Engine, use_case: type[AccountUseCase[Any, Any, Any]], commands: Sequence[Any], *more: Any) -> list[Any]:
    """The results, in one transaction, of one command after the other, each under a key of its own. None is refused."""
    calls = [Call(command, Once(f"{use_case.__name__} {n}", b"asked", lambda result: b"done")) for n, command in enumerate(commands)]
    outcomes = await use_case(engine.container.unit_of_work, engine.time, *more).execute(calls)
    assert [outcome for outcome in outcomes if isinstance(outcome, DomainError)][:1] == []
    assert len(outcomes) == len(commands)
    return list(outcomes)


async def used(engine: Engine, *features: str) -> list[int]:
    return [(await engine.balance("acme", feature)).used for feature in features]


async def test_usage_reservations_events_and_corrections(engine: Engine, acme: str) -> None:
    amounts = [Amount("sessions", ONE), Amount("ai_cost", ONE)]
    booked = await done(engine, ConsumeUsage, [ConsumeUsageCommand(customer_id=acme, amounts=amounts, origin=ORIGIN) for _ in NUMBERS])
    corrections = [
        CorrectRecordCommand(customer_id=acme, record_id=one.records[0].id, quantity=-ONE, reason="refund", recorded_by="test")
        for one in booked[:FEWER]
    ]
    await done(engine, CorrectRecord, corrections)
    events = [
        IngestEventCommand(customer_id=acme, amounts=[Amount("minutes", ONE)], source="meter", event_id=str(n), recorded_by="test")
        for n in NUMBERS
    ]
    assert all(await done(engine, IngestEvents, events))
    reserved = await done(engine, ReserveUsage, [ReserveUsageCommand(customer_id=acme, amounts=amounts[:1]) for _ in NUMBERS])
    assert (await engine.balance(acme, "sessions")).held == LENGTH
    ids = [one.reservation.id for one in reserved]
    await done(engine, ExtendReservation, [ExtendReservationCommand(acme, id, timedelta(hours=1)) for id in ids[:FEWER]])
    await done(engine, CommitReservation, [CommitReservationCommand(acme, id, "test") for id in ids[:FEWER]])
    await done(engine, ReleaseReservation, [ReleaseReservationCommand(acme, id) for id in ids[FEWER : 2 * FEWER]])
    assert (await engine.balance(acme, "sessions")).held == LENGTH - 2 * FEWER
    assert await used(engine, "sessions", "ai_cost", "minutes") == [LENGTH, LENGTH * 10**9, LENGTH * 60]
    assert await engine.drift(acme) == []


async def test_coaching_sessions(engine: Engine, acme: str) -> None:
    command = CreateSessionCommand(customer_id=acme, title="Talk", language="en-US", stt_provider=SttProvider.AUTO, recorded_by="test")
    ids = [session.id for session in await done(engine, CreateSession, [replace(command, title=f"Talk {n}") for n in NUMBERS])]
    await done(engine, AttachFile, [AttachFileCommand(acme, id, UploadedFile(id, "audio/mp4", n)) for n, id in enumerate(ids[:FEWER])])
    await done(engine, ConfirmUpload, [ConfirmUploadCommand(acme, id) for id in ids[:FEWER]])
    completed = [CompleteSessionCommand(customer_id=acme, session_id=id, duration_seconds=60, recorded_by="test") for id in ids[:FEWER]]
    await done(engine, CompleteSession, completed)
    await done(engine, FailSession, [FailSessionCommand(acme, id, "silence", "test") for id in ids[-FEWER:]])
    assert await used(engine, "sessions", "minutes") == [LENGTH, FEWER * 60]
    assert await engine.drift(acme) == []


async def test_learning_plans_practice_sessions_and_assessments(engine: Engine, acme: str) -> None:
    plan = CreateLearningPlanCommand(customer_id=acme, language="es", level="B1", total_sessions=8, sessions_per_week=2)
    plans = [plan.id for plan in await done(engine, CreateLearningPlan, [plan] * LENGTH)]
    await done(engine, StartPracticeSession, [StartPracticeSessionCommand(acme, f"{n}", plans[n]) for n in NUMBERS])
    saved = [
        SavePracticeSessionCommand(customer_id=acme, practice=Practice(540, summary=f"{n}"), recorded_by="test", id=f"{n}")
        for n in range(FEWER)
    ]
    assert {one.plan.practised_sessions for one in await done(engine, SavePracticeSession, saved)} == {1}
    taken = [TakeAssessmentCommand(customer_id=acme, kind="speaking", score=Decimal(n), recorded_by="test", id=f"{n}") for n in NUMBERS]
    await done(engine, TakeAssessment, taken)
    assert await used(engine, "practice_sessions", "assessments") == [FEWER, LENGTH]
    await done(engine, AbandonPracticeSession, [AbandonPracticeSessionCommand(acme, f"{n}") for n in NUMBERS[-FEWER:]])
    assert (await engine.balance(acme, "practice_sessions")).held == LENGTH - 2 * FEWER
    assert await engine.drift(acme) == []


async def test_ai_operations(engine: Engine, acme: str) -> None:
    started = [
        StartOperationCommand(customer_id=acme, feature="scan", estimated_cost=Decimal("0.002"), estimated_runs=1, operation_id=f"{n}")
        for n in NUMBERS
    ]
    await done(engine, StartOperation, started)
    step = AddStepCommand(
        customer_id=acme, operation_id="", feature="ocr", cost=Decimal("0.001"), billable_run=True, recorded_by="test", step_id="ocr"
    )
    await done(engine, AddStep, [replace(step, operation_id=f"{n}") for n in NUMBERS])
    statuses = (OperationStatus.COMPLETED, OperationStatus.FAILED)
    await done(engine, FinishOperation, [FinishOperationCommand(acme, f"{n}", statuses[n % 2], "app") for n in range(FEWER)])
    assert await used(engine, "ai_runs", "ai_cost") == [LENGTH, LENGTH * 10**6]
    assert (await engine.balance(acme, "ai_cost")).held == (LENGTH - FEWER) * 10**6
    assert await engine.drift(acme) == []


async def test_messages_and_their_conversations(engine: Engine, acme: str) -> None:
    messages = [
        RecordMessageCommand(
            customer_id=acme,
            direction=Direction.INBOUND,
            counterparty=f"+1415555{n % 5_000:04}",
            message_id=f"{n}",
            recorded_by="test",
            sent_at=engine.time() - timedelta(seconds=n),
        )
        for n in NUMBERS
    ]
    more = engine.container.new_id(), engine.container.phone_numbers()
    recorded = await done(engine, RecordMessage, messages, *more)
    assert [one.receipt.new_conversation for one in recorded].count(True) == 5_000
    assert await used(engine, CONVERSATIONS.key) == [5_000]
    assert await engine.drift(acme) == []


async def test_usage_of_as_many_customers(engine: Engine, acme: str) -> None:
    known = await engine.container.customer_reader().get(acme)
    customers = [replace(known, id=f"customer {n}") for n in NUMBERS]
    async with engine.container.unit_of_work() as uow:
        await uow.customers.load(customer.id for customer in customers)
        for customer in customers:
            uow.customers.save(customer)
        await uow.commit()
    commands = [ConsumeUsageCommand(customer_id=customer.id, amounts=[Amount("sessions", ONE)], origin=ORIGIN) for customer in customers]
    booked = await done(engine, ConsumeUsage, commands)
    assert {one.balances["sessions"].used for one in booked} == {1}
    repairs = [RepairCommand(customer.id, ["sessions"]) for customer in customers[:FEWER]]
    assert set(await done(engine, RepairUsage, repairs)) == {0}
    assert await engine.drift(*(customer.id for customer in customers)) == []
