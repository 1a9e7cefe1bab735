"""Every route of the service: the frame answers it, and as FastAPI's own handler would have."""

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from api import errors
from api.app import create_app
from api.container import Container
from api.frame.route import FrameRoute
from api.frame.service import Service
from api.pages import routes as pages
from api.settings import Settings
from core.access.principal import Principal, Unauthenticated
from core.access.service_keys import Scope
from core.metering.account import CustomerNotFound
from tests.unit.api.frame.exchange import Exchange
from tests.unit.api.frame.requests_of import Operation, operations_of, requests

DOCUMENTATION = {"/openapi.json"}
PAGES = {route.path for route in pages.ROUTES}
OPEN = {"/healthz", "/readyz", "/api/v1/uploads/{token}"}
ADDRESS = re.compile(r" at 0x[0-9a-f]+")

ours = create_app(Container(settings=Settings(database_url="postgresql://nowhere")))
ROUTES = [route for route in ours.routes if isinstance(route, APIRoute)]


def test_the_frame_answers_every_route_but_the_documents_and_pages() -> None:
    """What a route asks for beyond the frame is named here, or there is a quicker way to say it."""
    assert {route.path for route in ours.routes if not isinstance(route, FrameRoute)} == DOCUMENTATION | PAGES
    assert {route.path: route.unusual for route in ROUTES if isinstance(route, FrameRoute) and route.unusual} == {}


class Reached:
    """In place of a use case, or of whatever a route asks the container for: the answer says what it was called with."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            raise CustomerNotFound(ADDRESS.sub("", f"reached {self._name}.{method}{arguments}{named}"))

        return call


class Authenticating:
    async def authenticate(self, credential: str) -> Principal:
        if credential in set(Scope):
            return Principal.service("key", Scope(credential))
        if credential == "user":
            return Principal.user("c")
        raise Unauthenticated


class Containing:
    """A container of nothing but stand-ins."""

    def __getattr__(self, name: str) -> Callable[[], Any]:
        return lambda: Reached(name)

    def authenticator(self) -> Authenticating:
        return Authenticating()

    def clock(self) -> Callable[[], datetime]:
        return lambda: datetime(2026, 11, 21, tzinfo=UTC)


def with_stand_ins(app: FastAPI) -> FastAPI:
    errors.install(app)
    app.state.container = Containing()
    return app


def left_to_fastapi() -> FastAPI:
    """The same routes, each made once more and answered by FastAPI's own handler."""
    app = Service()
    for route in ROUTES:
        again = FrameRoute(
            route.path,
            route.endpoint,
            methods=route.methods,
            response_model=route.response_model,
            status_code=route.status_code,
            dependencies=route.dependencies,
            response_class=route.response_class,
            max_body_size=route.max_body_size,
        )
        again.leave_to_fastapi("to compare")
        app.router.routes.append(again)
    return app


runner = asyncio.Runner()
with_stand_ins(ours)
theirs = with_stand_ins(left_to_fastapi())


def asked_again(exchange: Exchange) -> Exchange:
    return Exchange(exchange.method, exchange.target, exchange.headers, exchange.chunks)


@pytest.fixture(scope="module", autouse=True)
def runner_closed() -> Iterator[None]:
    yield
    runner.close()


OPERATIONS = [item for item in operations_of(ours.openapi()) if item.path != "/metrics"]
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
one_mistake_at_most = st.sampled_from(["who", "path", "rest", "rest"])


@every_operation
@given(data=st.data())
@settings(max_examples=settings.default.max_examples // 8, suppress_health_check=list(HealthCheck))
def test_the_frame_answers_as_fastapis_own_handler_would_have(operation: Operation, data: st.DataObject) -> None:
    exchange = data.draw(requests(operation, data.draw(one_mistake_at_most)))
    assert runner.run(asked_again(exchange).run(ours)) == runner.run(asked_again(exchange).run(theirs))


@every_operation
@pytest.mark.parametrize("carried_out", [True, False], ids=["carried out", "refused"])
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_some_of_these_requests_are_carried_out_and_some_refused(operation: Operation, carried_out: bool) -> None:
    """Or comparing their answers would prove little."""
    if operation.path in OPEN and not carried_out:
        return

    def is_such(exchange: Exchange) -> bool:
        answer = runner.run(asked_again(exchange).run(ours))
        return carried_out == (b"reached " in answer.body or answer.status == 200)

    drawn = one_mistake_at_most.flatmap(lambda mistake: requests(operation, mistake))
    first_found = settings(max_examples=100, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
    assert find(drawn, is_such, settings=first_found, random=Random(7))
