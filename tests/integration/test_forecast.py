"""Forecasts from what is in the ledger: by the customer's days, up to the reset, with grants and holds in the limit."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from core.customers.customer import Customer
from core.history.read_forecast import FeatureForecast
from core.metering.balance import Amount
from core.metering.grants import GrantKind
from core.metering.issue_grant import IssueGrantCommand
from core.metering.reserve_usage import ReserveUsageCommand
from core.plans.periods import Billing, Interval
from tests.integration.in_process import ANCHOR, NOW, Engine, consume, engine_on, record
from tests.integration.service import Service, new_id, refused
from tests.unit.fakes.calls import calls

DAY = timedelta(days=1)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


async def foreseen(engine: Engine, customer_id: str, feature: str = "ai_runs") -> FeatureForecast:
    found: FeatureForecast = (await engine.container.read_forecast().execute(customer_id))[feature]
    return found


async def used_daily(engine: Engine, limit: int | None, quantity: int, days: int, **fields: object) -> str:
    """A customer that used so much at noon of each of the last days, today included."""
    engine.now = ANCHOR
    acme = await engine.customer(ai_runs=limit, **fields)  # type: ignore[arg-type]
    for day in range(days, -1, -1):
        engine.now = NOW - day * DAY
        await engine.container.consume_usage().execute([record(acme, "ai_runs", quantity)])
    return acme


async def test_an_even_use_ends_where_a_division_says_and_reaches_the_limit_then(engine: Engine) -> None:
    acme = await used_daily(engine, 260, 10, 30)
    found = await foreseen(engine, acme)
    assert found.forecast is not None
    # 21 days of November are booked, and 9 days and a half of it are to come.
    assert (found.days, found.forecast.expected, found.forecast.low, found.forecast.high) == (30, 305, 305, 305)
    assert found.forecast.chance == 1.0
    assert found.forecast.reached is not None
    assert set(found.forecast.reached) == {NOW + 5 * DAY}


async def test_holds_count_as_used_and_grants_as_a_part_of_the_limit(engine: Engine) -> None:
    acme = await used_daily(engine, 260, 10, 30)
    hold = ReserveUsageCommand(customer_id=acme, amounts=[Amount("ai_runs", Decimal(30))], ttl=DAY)
    await engine.container.reserve_usage().execute(calls(hold))
    held = (await foreseen(engine, acme)).forecast
    assert held is not None
    assert held.reached is not None
    assert held.reached.expected == NOW + 2 * DAY
    grant = IssueGrantCommand(customer_id=acme, feature="ai_runs", quantity=Decimal(20), kind=GrantKind.PAID, created_by="test")
    await engine.container.issue_grant().execute(calls(grant))
    granted = (await foreseen(engine, acme)).forecast
    assert granted is not None
    assert granted.reached is not None
    assert granted.reached.expected == NOW + 4 * DAY


async def test_days_on_which_the_limit_let_nothing_through_say_nothing_of_the_customer(engine: Engine) -> None:
    engine.now = ANCHOR
    acme = await engine.customer(ai_runs=100)
    for day in range(51, -1, -1):
        engine.now = NOW - day * DAY
        await engine.container.consume_usage().execute([consume(acme, "ai_runs", 10)])
    found = await foreseen(engine, acme)
    assert found.forecast is not None
    assert found.days == 20, "ten days of each of October and November, and none of the days when all was used"
    assert (found.forecast.low, found.forecast.chance) == (195, 1.0)


async def test_too_little_history_is_said_and_no_number_is_made_up(engine: Engine) -> None:
    for days, expected in ((6, None), (7, 7)):
        found = await foreseen(engine, await used_daily(engine, 300, 10, days))
        assert (found.days, found.forecast is not None) == (days, expected is not None)
    assert (await foreseen(engine, await engine.customer(ai_runs=5))).forecast is None


async def test_days_are_those_of_the_customers_zone(engine: Engine) -> None:
    """At noon UTC it is a quarter to six in the evening in Kathmandu: a quarter of the day is left, and the reset comes earlier."""
    acme = await used_daily(engine, 1_000, 96, 30)
    plan = (await engine.container.customer_reader().get(acme)).plan
    calendar = Billing(datetime(2026, 1, 1, tzinfo=ZoneInfo("Asia/Kathmandu")).astimezone(UTC), Interval.MONTH, ZoneInfo("Asia/Kathmandu"))
    await engine.put(Customer(acme, *plan, calendar, created_at=ANCHOR, updated_at=NOW))
    found = await foreseen(engine, acme)
    assert found.forecast is not None
    left = (datetime(2026, 12, 1, tzinfo=ZoneInfo("Asia/Kathmandu")) - NOW) / DAY
    assert abs(found.forecast.expected - found.balance.used - 96 * left) <= 1


async def test_what_never_resets_has_no_end_and_a_date_all_the_same(engine: Engine) -> None:
    acme = await used_daily(engine, 400, 10, 30, anchor=None)
    found = await foreseen(engine, acme)
    assert not found.is_at_reset
    assert found.forecast is not None
    assert found.forecast.reached is not None
    assert found.forecast.reached.expected == NOW + 9 * DAY


async def test_it_does_not_flicker_and_changes_with_the_day(engine: Engine) -> None:
    acme = await used_daily(engine, 400, 10, 30)
    await engine.container.consume_usage().execute([record(acme, "ai_runs", 40, occurred_at=NOW - 5 * DAY)])
    one = await foreseen(engine, acme)
    assert await foreseen(engine, acme) == one
    assert one.forecast is not None
    assert one.forecast.low < one.forecast.high


def test_over_http_every_metered_feature_is_told(service: Service) -> None:
    plan, path = new_id("plan"), f"/api/v1/customers/{new_id()}"
    entitlements = {
        "sessions": {"type": "metered", "limit": 1_000},
        "minutes": {"type": "metered", "limit": None},
        "max_file_size_mb": {"type": "static", "value": 60},
    }
    assert service.admin.put(f"/api/v1/plans/{plan}", json={"name": "Plan", "entitlements": entitlements}).status_code == 201
    assert service.admin.put(path, json={"plan": plan}).status_code == 201
    now = datetime.now(UTC)  # noqa: TID251
    for day in range(1, 21):
        body = {
            "usage": [{"feature": "sessions", "quantity": 10}, {"feature": "minutes", "quantity": 1.5}],
            "mode": "record",
            "occurred_at": (now - day * DAY).isoformat(),
        }
        assert service.admin.post(f"{path}/usage", json=body).status_code == 200
    found = service.admin.get(f"{path}/usage/forecast").json()["features"]
    assert list(found) == ["sessions", "minutes"]
    sessions = found["sessions"]
    assert (sessions["based_on_days"], sessions["reason"], sessions["method"]) == (20, None, "bayesian_bootstrap")
    assert (sessions["limit_reached_at"], sessions["chance_of_reaching"], sessions["pace"]) == (None, 0, "steady")
    assert sessions["low"] <= sessions["expected_at_reset"] <= sessions["high"]
    assert (found["minutes"]["chance_of_reaching"], found["minutes"]["limit_reached_at"]) == (0, None)
    fresh = f"/api/v1/customers/{new_id()}"
    service.admin.put(fresh, json={"plan": plan})
    unknown = service.admin.get(f"{fresh}/usage/forecast").json()["features"]["sessions"]
    assert (unknown["reason"], unknown["expected_at_reset"], unknown["limit_reached_at"], unknown["based_on_days"]) == (
        "too_little_history",
        None,
        None,
        0,
    )
    refused(service.admin.get(f"/api/v1/customers/{new_id()}/usage/forecast"), 404, "customer_not_found")
    assert service.admin.get(f"{path}/usage/forecast?by=day").status_code == 422
