"""Histories over HTTP, and with a clock that the test sets: bucket by bucket they are the plain sums of the ledger."""

import csv
import io
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from core.customers.customer import Customer
from core.history.buckets import By
from core.history.read_history import HistoryItem, HistoryQuery
from core.metering.balance import Amount
from core.metering.consume_usage import ConsumeUsageCommand, Mode
from core.metering.correct_record import CorrectRecordCommand
from core.plans.periods import Billing, Interval
from tests.integration.in_process import ANCHOR, NOW, ORIGIN, Engine, engine_on, record
from tests.integration.service import Service, new_id, refused
from tests.unit.fakes.calls import calls

DAY = timedelta(days=1)
KATHMANDU = ZoneInfo("Asia/Kathmandu")


@pytest.fixture
async def engine(database_url: str) -> Iterator[Engine]:  # type: ignore[misc]  # an asynchronous generator, as pytest runs it
    async with engine_on(database_url) as engine:
        yield engine


async def read(engine: Engine, customer_id: str, feature: str | None = None, **fields: object) -> list[HistoryItem]:
    query = HistoryQuery(customer_id, feature, **fields)  # type: ignore[arg-type]
    found: list[HistoryItem] = await engine.container.read_history().execute(query)
    return found


async def book(
    engine: Engine, customer_id: str, quantity: int, at: datetime, dimension: str | None = None, feature: str = "ai_runs"
) -> UUID:
    """So much at an instant, booked when it was new."""
    engine.now = at
    command = ConsumeUsageCommand(
        customer_id=customer_id, amounts=[Amount(feature, Decimal(quantity), dimension)], origin=ORIGIN, mode=Mode.RECORD
    )
    (booked,) = await engine.container.consume_usage().execute(calls(command))
    engine.now = NOW
    id: UUID = booked.records[0].id
    return id


@pytest.mark.parametrize("by", list(By))
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York"])
async def test_every_bucket_is_the_plain_sum_of_what_occurred_in_it(engine: Engine, by: By, zone: str) -> None:
    chance = random.Random(zone + by)
    acme = await engine.customer(ai_runs=1_000)
    await engine.put(
        Customer(acme, *await plan_of(engine, acme), Billing(ANCHOR, Interval.MONTH, ZoneInfo(zone)), created_at=ANCHOR, updated_at=ANCHOR)
    )
    used = [(NOW - timedelta(seconds=chance.randrange(20 * 24 * 3600)), chance.randrange(1, 9)) for _ in range(60)]
    await engine.container.consume_usage().execute([record(acme, "ai_runs", quantity, occurred_at=at) for at, quantity in used])
    since = NOW - 25 * DAY + timedelta(minutes=7)
    items = await read(engine, acme, "ai_runs", by=by, since=since, until=NOW - DAY)
    for item in items:
        assert item.standing.used == sum(quantity for at, quantity in used if at in item.period)
    assert sum(item.standing.used for item in items) == sum(quantity for at, quantity in used if since <= at < NOW - DAY)


async def plan_of(engine: Engine, customer_id: str) -> tuple[str, int]:
    return (await engine.container.customer_reader().get(customer_id)).plan


async def test_corrections_and_late_records_show_where_the_usage_occurred(engine: Engine) -> None:
    engine.now = ANCHOR
    acme = await engine.customer(ai_runs=10)
    october, november = datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)
    booked = await book(engine, acme, 14, november)
    await engine.container.consume_usage().execute([record(acme, "ai_runs", 3, occurred_at=october)])
    correction = CorrectRecordCommand(customer_id=acme, record_id=booked, quantity=Decimal(-1), reason="refund", recorded_by="test")
    await engine.container.correct_record().execute(calls(correction))
    items = await read(engine, acme, "ai_runs")
    assert [(item.standing.used, item.standing.overage, item.standing.limit) for item in items] == [
        *[(0, 0, 10)] * 4,
        (3, 0, 10),
        (13, 3, 10),
    ]
    assert [item.period.start.month for item in items] == [6, 7, 8, 9, 10, 11]


async def test_shares_add_up_to_what_was_used_bucket_by_bucket(engine: Engine) -> None:
    acme = await engine.customer(ai_runs=None)
    for day, dimension, quantity in ((3, "scan", 2), (3, None, 5), (3, "scan", 1), (9, "chat", 4)):
        await book(engine, acme, quantity, datetime(2026, 11, day, 5, tzinfo=UTC), dimension)
    items = await read(engine, acme, "ai_runs", by=By.DAY, by_dimension=True)
    shown = {item.period.start.day: {share.dimension: share.quantity for share in item.shares or ()} for item in items[-21:]}
    assert {day: shares for day, shares in shown.items() if shares} == {3: {None: 5, "scan": 3}, 9: {"chat": 4}}


async def test_what_was_used_beside_the_plan_is_listed_as_overage(engine: Engine) -> None:
    acme = await engine.customer(ai_runs=10)
    await book(engine, acme, 2, NOW - DAY, feature="sessions")
    items = await read(engine, acme)
    assert [item.feature.key for item in items] == ["ai_runs"] * 6 + ["sessions"] * 6
    assert (items[-1].standing.used, items[-1].standing.overage, items[-1].standing.limit) == (2, 2, 0)


@pytest.fixture
def customer(service: Service) -> str:
    """The path of a customer on a plan of 30 sessions and $3."""
    plan, path = new_id("plan"), f"/api/v1/customers/{new_id()}"
    entitlements = {"sessions": {"type": "metered", "limit": 30}, "ai_cost": {"type": "metered", "limit": 3, "reset": "month"}}
    assert service.admin.put(f"/api/v1/plans/{plan}", json={"name": "Plan", "entitlements": entitlements}).status_code == 201
    assert service.admin.put(path, json={"plan": plan, "time_zone": "Asia/Kathmandu"}).status_code == 201
    return path


def test_over_http_it_is_json_or_csv(service: Service, customer: str) -> None:
    for cost, dimension in ((0.1, "scan"), (0.2, "scan"), (3, 'chat, and "more"')):
        body = {"usage": [{"feature": "ai_cost", "quantity": cost, "dimension": dimension}], "mode": "record"}
        assert service.admin.post(f"{customer}/usage", json=body).status_code == 200
    path = f"{customer}/usage/history"
    answer = service.admin.get(path, params={"feature": "ai_cost", "group_by": "dimension"}).json()
    assert set(answer) == {"items"}
    *before, last = answer["items"]
    assert [item["used"] for item in before] == [0] * 5
    assert [item["breakdown"] for item in before] == [[]] * 5
    assert {key: last[key] for key in ("feature", "unit", "used", "overage", "limit")} == {
        "feature": "ai_cost",
        "unit": "USD",
        "used": 3.3,
        "overage": 0.3,
        "limit": 3,
    }
    assert last["breakdown"] == [{"dimension": 'chat, and "more"', "used": 3}, {"dimension": "scan", "used": 0.3}]
    start = datetime.fromisoformat(last["start"]).astimezone(KATHMANDU)
    assert (start.day, start.hour, start.minute) == (1, 0, 0)
    table = service.admin.get(path, params={"feature": "ai_cost"}, headers={"Accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert len(rows) == 6
    assert {key: rows[-1][key] for key in ("used", "overage", "limit", "start")} == {
        "used": "3.3",
        "overage": "0.3",
        "limit": "3",
        "start": last["start"],
    }
    shares = service.admin.get(path, params={"feature": "ai_cost", "group_by": "dimension"}, headers={"Accept": "text/csv;q=1, */*;q=0.1"})
    assert [(row["dimension"], row["used"]) for row in csv.DictReader(io.StringIO(shares.text))] == [
        ('chat, and "more"', "3"),
        ("scan", "0.3"),
    ]
    assert "breakdown" in service.admin.get(path, headers={"Accept": "application/json, text/csv"}).json()["items"][0]


def test_what_no_history_can_be_given_of_is_told(service: Service, customer: str) -> None:
    path = f"{customer}/usage/history"
    refused(service.admin.get(path, params={"since": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z"}), 422, "invalid_span")
    refused(service.admin.get(path, params={"since": "2020-11-02T00:00:00Z", "by": "hour"}), 422, "invalid_span")
    refused(service.admin.get(path, params={"feature": "nosuch"}), 403, "feature_not_in_plan")
    refused(service.admin.get(f"/api/v1/customers/{new_id()}/usage/history"), 404, "customer_not_found")
    for params in ({"by": "year"}, {"group_by": "member"}, {"since": "yesterday"}, {"nosuch": "1"}):
        assert service.admin.get(path, params=params).status_code == 422
    assert service.user(new_id()).get(path).status_code == 404
