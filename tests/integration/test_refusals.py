"""Refusals are kept: within a second, with the facts, told apart from questions, and never at an admission's cost."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from core.errors import StorageUnavailable
from core.history.refusals import KEPT_FOR, RefusalQuery
from infrastructure.sql.history import refusals as kept
from infrastructure.sql.history.refusals import SqlRefusals
from infrastructure.sql.upkeep.sweep import BITE_ROWS
from tests.integration.in_process import NOW, Engine, engine_on
from tests.integration.service import Databases, Service, new_id, refused, until

CUSTOMERS = "/api/v1/customers"


def customer(service: Service, **limits: float) -> str:
    """The path of a customer with these limits."""
    plan = new_id("plan")
    entitlements = {key: {"type": "metered", "limit": limit} for key, limit in limits.items()}
    entitlements["max_file_size_mb"] = {"type": "static", "value": 1}
    service.admin.put(f"/api/v1/plans/{plan}", json={"entitlements": entitlements}).raise_for_status()
    path = f"{CUSTOMERS}/{new_id()}"
    service.admin.put(path, json={"plan": plan}).raise_for_status()
    return path


def listed(service: Service, path: str, **asked: Any) -> dict[str, Any]:
    answer = service.admin.get(f"{path}/refusals", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def written(service: Service, path: str, count: int, **asked: Any) -> list[dict[str, Any]]:
    """Once there are so many."""

    def items() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = listed(service, path, limit=200, **asked)["items"]
        return found if len(found) >= count else None

    found = until(items, 10, f"{count} refusals")
    assert found is not None
    assert len(found) == count
    return found


def use(service: Service, path: str, feature: str, quantity: float, **headers: str) -> httpx.Response:
    return service.admin.post(f"{path}/usage", json={"usage": [{"feature": feature, "quantity": quantity}]}, headers=headers)


def test_a_refusal_is_there_within_a_second_with_everything_that_was_told(service: Service) -> None:
    path = customer(service, sessions=1)
    told = refused(use(service, path, "sessions", 2, **{"X-Request-Id": "desk-7"}), 403, "session_limit_exceeded")
    started = time.monotonic()
    (item,) = written(service, path, 1)
    assert time.monotonic() - started < 1
    assert {name: item[name] for name in told} == told
    assert (item["request_id"], item["operation"], item["kind"]) == ("desk-7", "consume_usage", "refused")
    assert abs(datetime.fromisoformat(item["at"]) - datetime.now(UTC)) < timedelta(minutes=1)  # noqa: TID251


def test_work_that_was_refused_is_told_apart_from_questions_and_from_items_of_a_batch(service: Service) -> None:
    path = customer(service, sessions=1, ai_runs=0, ai_cost=0)
    id = path.rpartition("/")[2]
    as_customer = {"Tollgate-Customer": id}
    item = {"customer_id": id, "usage": [{"feature": "sessions", "quantity": 2}]}
    batch = service.admin.post("/api/v1/usage/batch", json={"items": [item, {**item, "usage": []}, item]})
    assert [result["status"] for result in batch.json()["results"]] == [403, 422, 403]
    assert not service.admin.post(f"{path}/usage/check", json={"usage": item["usage"]}).json()["allowed"]
    assert not service.admin.get("/api/v1/budget/can-afford", headers=as_customer).json()["allowed"]
    refused(service.admin.post("/api/v1/operations", json={"feature": "scan"}, headers=as_customer), 403, "run_limit_exceeded")
    found = [(item["operation"], item["kind"]) for item in written(service, path, 5)]
    assert found == [
        ("start_operation", "refused"), ("can_afford", "asked"), ("check_usage", "asked"),
        ("usage_batch", "refused"), ("usage_batch", "refused"),
    ]  # fmt: skip
    one, other = written(service, path, 3, kind="refused")[1:]
    assert one["request_id"] == other["request_id"] == batch.headers["X-Request-Id"]
    assert len(written(service, path, 2, kind="asked")) == 2


def test_only_what_the_plan_refuses_is_kept(service: Service) -> None:
    path = customer(service, sessions=1)
    assert use(service, path, "sessions", 1).status_code == 200
    refused(use(service, path, "sessions", -1), 422, "invalid_quantity")
    assert use(service, path, "", 1).status_code == 422
    refused(use(service, path, "minutes", 1), 403, "feature_not_in_plan")
    assert [item["error"] for item in written(service, path, 1)] == ["feature_not_in_plan"]


def test_refusals_are_listed_by_feature_and_time_page_by_page(service: Service) -> None:
    path = customer(service, sessions=0, minutes=0)
    for n in range(6):
        assert use(service, path, ("sessions", "minutes")[n % 2], 1).status_code == 403
    newest_first = written(service, path, 6)
    assert [item["feature"] for item in newest_first] == ["minutes", "sessions"] * 3
    assert sorted((item["at"] for item in newest_first), reverse=True) == [item["at"] for item in newest_first]
    pages, cursor = [], None
    while True:
        found = listed(service, path, limit=2, feature="sessions", **({"cursor": cursor} if cursor else {}))
        pages.append(found["items"])
        if (cursor := found["next_cursor"]) is None:
            break
    assert [len(page) for page in pages] == [2, 1]
    assert [item for page in pages for item in page] == newest_first[1::2]
    third = newest_first[2]["at"]
    assert listed(service, path, since=third)["items"] == newest_first[:3]
    assert listed(service, path, until=third)["items"] == newest_first[3:]


def test_refusals_are_their_customers_own(service: Service) -> None:
    path = customer(service, sessions=0)
    id = path.rpartition("/")[2]
    assert use(service, path, "sessions", 1).status_code == 403
    (item,) = written(service, path, 1)
    assert service.user(id).get(f"{path}/refusals").json()["items"] == [item]
    refused(service.user(new_id()).get(f"{path}/refusals"), 404, "customer_not_found")
    refused(service.admin.get(f"{CUSTOMERS}/{new_id()}/refusals"), 404, "customer_not_found")
    assert service.admin.get(f"{path}/refusals", params={"kind": "other"}).status_code == 422


def test_a_shutdown_writes_out_what_was_just_refused(databases: Databases) -> None:
    url = databases.fresh()
    with Service(url) as service:
        path = customer(service, sessions=0)
        items = [{"customer_id": path.rpartition("/")[2], "usage": [{"feature": "sessions", "quantity": 1}]}] * 1000
        answer = service.admin.post("/api/v1/usage/batch", json={"items": items})
        assert {result["status"] for result in answer.json()["results"]} == {403}
    assert service.database.value("SELECT count(*) FROM refusal") == 1000
    databases.drop(url)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


def told(number: int = 0) -> dict[str, Any]:
    return {"error": "usage_limit_exceeded", "message": f"No {number}.", "feature": "calls", "number": number}


def note(refusals: SqlRefusals, id: str, count: int) -> None:
    for number in range(count):
        refusals.note(id, "request", "consume_usage", lambda number=number: told(number))  # type: ignore[misc]


async def newest(engine: Engine, id: str, limit: int = 10) -> list[Any]:
    return list(await engine.container.refusals().newest(RefusalQuery(customer_id=id, limit=limit)))


async def test_too_many_are_dropped_and_counted_and_the_first_ones_stay(engine: Engine) -> None:
    acme = await engine.customer(calls=0)
    refusals = SqlRefusals(engine.container.connections(), engine.container.clock(), engine.container.new_id(), queued_max=3)
    before = kept.DROPPED._value.get()
    note(refusals, acme, 5)
    assert kept.DROPPED._value.get() - before == 2
    assert await refusals.write()
    assert [item.facts["number"] for item in await newest(engine, acme)] == [2, 1, 0]


async def test_while_the_storage_is_away_they_wait_in_their_order_and_are_written_once(engine: Engine, mocker: Any) -> None:
    acme = await engine.customer(calls=0)
    refusals = engine.container.refusals()
    note(refusals, acme, 2)
    away = mocker.patch.object(engine.container.connections(), "ask", side_effect=StorageUnavailable())
    assert not await refusals.write()
    mocker.stop(away)
    note(refusals, acme, 1)
    assert await refusals.write()
    assert await refusals.write()
    assert [item.facts["number"] for item in await newest(engine, acme)] == [0, 1, 0]


async def test_one_that_cannot_be_written_does_not_keep_the_others_from_it(engine: Engine, mocker: Any) -> None:
    acme = await engine.customer(calls=0)
    refusals = engine.container.refusals()
    mocker.patch.object(kept, "WRITTEN_MAX", 1)
    before = kept.DROPPED._value.get()
    refusals.note(acme, "request", "consume_usage", lambda: {"message": "it has no code"})
    note(refusals, acme, 1)
    assert await refusals.write()
    assert len(await newest(engine, acme)) == 1
    assert kept.DROPPED._value.get() - before == 1


async def test_nothing_is_written_for_a_customer_that_is_not_there(engine: Engine) -> None:
    acme = await engine.customer(calls=0)
    refusals = engine.container.refusals()
    note(refusals, "nobody", 1)
    note(refusals, acme, 1)
    assert await refusals.write()
    rows = await engine.container.connections().ask(lambda driver: driver.fetch("SELECT customer_id FROM refusal"))
    assert [row["customer_id"] for row in rows] == [acme]


async def test_they_are_swept_after_30_days_in_bites(engine: Engine, mocker: Any) -> None:
    acme = await engine.customer(calls=0)
    refusals = engine.container.refusals()
    note(refusals, acme, 2 * BITE_ROWS + 1)
    engine.now = NOW + timedelta(microseconds=1)
    note(refusals, acme, 1)
    assert await refusals.write()
    engine.now = NOW + KEPT_FOR + timedelta(microseconds=1)
    bites = mocker.spy(engine.container.connections(), "ask")
    assert await engine.container.sweeper().sweep() == 2 * BITE_ROWS + 1
    assert bites.call_count >= 3
    assert len(await newest(engine, acme)) == 1
