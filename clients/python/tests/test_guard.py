"""A refusal becomes the app's own answer, and headers say what is left."""

from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from tests_support.fake_service import FakeService, unavailable
from tollgate_client import LimitExceeded, models
from tollgate_client.guard import Guard, RateLimitHeaders, limited

pytestmark = pytest.mark.anyio


def app_of(service: FakeService) -> httpx.AsyncClient:
    client = service.async_client(timeout=0.2)
    guard = Guard(client, customer=lambda request: request.headers["x-account"])
    app = FastAPI()
    app.add_middleware(RateLimitHeaders)

    @app.get("/export")
    async def export(booked: Annotated[models.Consumed, Depends(guard.require("api_calls", 40))]) -> dict[str, int]:
        return {"used": int(booked.balances["api_calls"].used)}

    @app.get("/maybe/{fails}", dependencies=[Depends(guard.require_success("api_calls", 40))])
    async def maybe(fails: bool) -> dict[str, bool]:
        if fails:
            raise RuntimeError("the work failed")
        return {"done": True}

    @app.get("/free")
    async def free(request: Request) -> dict[str, str]:
        return {"path": request.url.path}

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://app", headers={"x-account": "acme"})


async def test_usage_is_booked_before_the_route_runs(service: FakeService) -> None:
    answered = await app_of(service).get("/export")
    assert answered.json() == {"used": 40}
    assert answered.headers["ratelimit-policy"] == '"api_calls";q=100'
    assert answered.headers["ratelimit"].startswith('"api_calls";r=60;t=')


async def test_the_refusal_is_the_apps_own_answer(service: FakeService) -> None:
    app = app_of(service)
    assert [(await app.get("/export")).status_code for _ in range(3)] == [200, 200, 403]
    detail = (await app.get("/export")).json()["detail"]
    assert (detail["error"], detail["limit"], detail["remaining"]) == ("usage_limit_exceeded", 100, 20)
    assert service.used == {"api_calls": 80}


async def test_work_that_fails_is_not_booked(service: FakeService) -> None:
    app = app_of(service)
    assert (await app.get("/maybe/true")).status_code == 500
    assert (service.used, service.held("api_calls")) == ({}, 0)
    assert (await app.get("/maybe/false")).status_code == 200
    assert (service.used, service.held("api_calls")) == ({"api_calls": 40}, 0)


async def test_a_service_out_of_reach_is_503(service: FakeService) -> None:
    app = app_of(service)
    service.failures = [unavailable() for _ in range(1_000)]
    answered = await app.get("/export")
    assert (answered.status_code, answered.json()["detail"]["error"]) == (503, "overloaded")


async def test_a_route_without_a_guard_tells_nothing(service: FakeService) -> None:
    answered = await app_of(service).get("/free")
    assert "ratelimit" not in answered.headers
    assert service.requests == []


def test_a_function_is_guarded(service: FakeService) -> None:
    with service.client() as client:

        @limited(client, "api_calls", 60, customer=lambda account: account)
        def work(account: str) -> str:
            return f"done for {account}"

        assert work("acme") == "done for acme"
        with pytest.raises(LimitExceeded):
            work("acme")
    assert service.used == {"api_calls": 60}


async def test_a_coroutine_function_is_guarded(service: FakeService) -> None:
    async with service.async_client() as client:

        @limited(client, "api_calls", 60, customer=lambda account: account)
        async def work(account: str) -> str:
            return f"done for {account}"

        assert await work("acme") == "done for acme"
        with pytest.raises(LimitExceeded):
            await work("acme")


def test_the_wrong_client_is_told(service: FakeService) -> None:
    with service.client() as client, pytest.raises(TypeError, match="AsyncTollgate"):

        @limited(client, "api_calls", customer=lambda: "acme")
        async def work() -> None: ...
