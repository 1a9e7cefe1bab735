"""What the clock brings about is told once, however many look; and in the order of the clock, not of who looks."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from core.customers.schedule_plan import SchedulePlanCommand
from core.events.catalogue import CATALOGUE
from core.metering.balance import Amount
from core.metering.finish_reservation import CommitReservationCommand
from core.metering.grants import Grant, GrantKind
from core.metering.issue_grant import IssueGrantCommand
from core.metering.reserve_usage import Reserved, ReserveUsageCommand
from core.metering.void_grant import VoidGrantCommand
from core.plans.drafts import MeteredDraft, PlanDraft
from tests.integration.in_process import NOW, Engine, engine_on, record
from tests.unit.fakes.calls import calls

EXAMPLES = {known.type: known.example for known in CATALOGUE}


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def told(database: Any, type: str) -> list[tuple[datetime, dict[str, Any]]]:
    select = "SELECT occurred_at, CAST(payload AS text) FROM outbox_event WHERE type = $1 ORDER BY id"
    found = [(at, json.loads(payload)) for at, payload in await database.fetch(select, type)]
    assert all(data.keys() == EXAMPLES[type].keys() for _, data in found)
    return found


async def tell(engine: Engine, now: datetime) -> None:
    """By two processes at once, and once more."""
    engine.now = now
    clock_events = engine.container.clock_events()
    await asyncio.gather(clock_events.tell(), clock_events.tell())
    await clock_events.tell()


async def reserve(engine: Engine, customer: str, seconds: int) -> Reserved:
    command = ReserveUsageCommand(customer, [Amount("calls", Decimal(2))], timedelta(seconds=seconds), f"job {seconds}")
    (reserved,) = await engine.container.reserve_usage().execute(calls(command))
    assert isinstance(reserved, Reserved)
    return reserved


async def grant(engine: Engine, customer: str, quantity: int, expires_at: datetime | None, **more: Any) -> Grant:
    command = IssueGrantCommand(
        customer_id=customer,
        feature="calls",
        quantity=Decimal(quantity),
        kind=GrantKind.PAID,
        expires_at=expires_at,
        created_by="key 1",
        **more,
    )
    (granted,) = await engine.container.issue_grant().execute(calls(command))
    issued: Grant = granted.standing.grant
    return issued


async def test_a_reservation_that_was_neither_committed_nor_released_is_told_to_have_expired(engine: Engine, database: Any) -> None:
    customer = await engine.customer(calls=100)
    committed = await reserve(engine, customer, 5)
    forgotten, later = await reserve(engine, customer, 10), await reserve(engine, customer, 60)
    await engine.container.commit_reservation().execute(calls(CommitReservationCommand(customer, committed.reservation.id, "key 1")))
    await tell(engine, NOW + timedelta(seconds=9))
    assert await told(database, "reservation.expired") == []
    await tell(engine, NOW + timedelta(seconds=10))
    ((at, data),) = await told(database, "reservation.expired")
    assert (at, data["reservation_id"], data["reference"]) == (NOW + timedelta(seconds=10), str(forgotten.reservation.id), "job 10")
    assert data["held"] == [{"feature": "calls", "unit": "unit", "quantity": 2}]
    await tell(engine, NOW + timedelta(hours=2))
    assert [data["reservation_id"] for _, data in await told(database, "reservation.expired")][1:] == [str(later.reservation.id)]


async def test_a_grant_is_told_to_end_a_week_before_or_in_the_middle_of_a_short_life_and_when_it_has(engine: Engine, database: Any) -> None:
    customer = await engine.customer(calls=10)
    days = {30: "long", 4: "short"}
    grants = {name: await grant(engine, customer, 5, NOW + timedelta(days=number)) for number, name in days.items()}
    await grant(engine, customer, 5, None)
    voided = await grant(engine, customer, 5, NOW + timedelta(days=4))
    await engine.container.void_grant().execute(calls(VoidGrantCommand(customer, voided.id, "refund", "key 1")))
    names = {str(known.id): name for name, known in grants.items()}
    for day, expiring, expired in (
        (1, [], []),
        (2, ["short"], []),
        (4, ["short"], ["short"]),
        (22, ["short"], ["short"]),
        (23, ["short", "long"], ["short"]),
        (30, ["short", "long"], ["short", "long"]),
        (90, ["short", "long"], ["short", "long"]),
    ):
        await tell(engine, NOW + timedelta(days=day))
        assert [names[data["grant_id"]] for _, data in await told(database, "grant.expiring")] == expiring, day
        assert [names[data["grant_id"]] for _, data in await told(database, "grant.expired")] == expired, day
    assert [(at, data["unused"]) for at, data in await told(database, "grant.expired")] == [
        (NOW + timedelta(days=4), 5), (NOW + timedelta(days=30), 5),
    ]  # fmt: skip


async def test_a_grant_with_nothing_left_is_not_told_to_be_about_to_end(engine: Engine, database: Any) -> None:
    customer = await engine.customer(calls=0)
    await grant(engine, customer, 5, NOW + timedelta(days=4))
    await engine.container.consume_usage().execute([record(customer, "calls", 5)])
    await tell(engine, NOW + timedelta(days=3))
    assert (len(await told(database, "grant.expiring")), len(await told(database, "grant.depleted"))) == (0, 1)


async def test_the_end_of_a_grant_raises_what_usage_stands_at_without_it(engine: Engine, database: Any) -> None:
    customer = await engine.customer(calls=10)
    await grant(engine, customer, 10, NOW + timedelta(days=4), priority=200)
    await engine.container.consume_usage().execute([record(customer, "calls", 9)])
    assert await told(database, "usage.threshold_reached") == []
    await tell(engine, NOW + timedelta(days=4))
    assert [data["threshold"]["value"] for _, data in await told(database, "usage.threshold_reached")] == [80]


async def test_a_scheduled_change_is_told_once_and_raises_what_usage_stands_at(engine: Engine, database: Any) -> None:
    customer = await engine.customer(calls=100)
    await engine.publish(PlanDraft("small", "Small", {"calls": MeteredDraft(Decimal(50))}))
    await engine.container.consume_usage().execute([record(customer, "calls", 60)])
    at = NOW + timedelta(minutes=10, microseconds=1)
    command = SchedulePlanCommand(customer_id=customer, plan="small", effective_at=at, changed_by="key 1")
    await engine.container.schedule_plan().execute(command)
    await tell(engine, at - timedelta(microseconds=1))
    assert await told(database, "customer.plan_changed") == []
    await tell(engine, at)
    ((effective_at, data),) = await told(database, "customer.plan_changed")
    assert (effective_at, data["plan"], data["scheduled"]) == (at, "small", True)
    assert len(await told(database, "usage.threshold_reached")) == 2
    assert len(await told(database, "usage.limit_reached")) == 1
    assert (await engine.drift(customer)) == []
