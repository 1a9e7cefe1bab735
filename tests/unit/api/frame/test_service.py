"""How a request is carried out, from its head to its answer."""

from collections.abc import MutableMapping
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.frame.route import FrameRoute
from api.frame.service import Service
from core.access.principal import Unauthenticated
from core.errors import ConcurrentUpdate, Overloaded
from core.metering.account import CustomerNotFound
from tests.unit.api.frame.declaring import Thing, served
from tests.unit.api.frame.exchange import Exchange, ask

OFF = {"tracing": False, "metrics": False, "logs": False}
JSON = "application/json"
called: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    called.clear()


async def known(request: Request, id: Annotated[str, Path(max_length=5)]) -> str:
    """An access rule: whoever says who they are may call."""
    if "who" not in request.headers:
        raise Unauthenticated
    return f"{request.headers['who']} for {id}"


def things(router: APIRouter) -> None:
    @router.put("/api/v1/things/{id}")
    async def put(
        who: Annotated[str, Depends(known)],
        thing: Thing,
        id: Annotated[str, Path(max_length=5)],
        limit: Annotated[int, Query(ge=1)] = 5,
        at_most: Annotated[int | None, Query(alias="max")] = None,
    ) -> Thing:
        called.append((who, thing, id, limit, at_most))
        return Thing(name=thing.name, size=limit)


def left_to_fastapi(router: APIRouter) -> None:
    things(router)
    for route in router.routes:
        assert isinstance(route, FrameRoute)
        route.leave_to_fastapi("for this test")


def app_with(declare: Any = things, **options: Any) -> FastAPI:
    return served(declare, Service(**({"telemetry": OFF} | options)))


async def test_a_request_is_handed_over_as_it_was_declared() -> None:
    answered = await ask(app_with(), "PUT", "/api/v1/things/a%2Fb?max=7", b'{"name": "x"}', who="me", content_type=JSON)
    assert (answered.status, answered.json) == (200, {"name": "x", "size": 5})
    assert answered.headers == [(b"content-length", b"21"), (b"content-type", b"application/json")]
    assert called == [("me for a/b", Thing(name="x"), "a/b", 5, 7)]


async def test_who_is_calling_is_asked_before_a_byte_of_the_body_is_read() -> None:
    exchange = Exchange("PUT", "/api/v1/things/toolong?limit=x&y=1", {"content-length": "9999999"}, [b"no JSON"])
    answered = await exchange.run(app_with())
    assert (answered.status, answered.json["detail"]["error"]) == (401, "unauthenticated")
    assert answered.header("www-authenticate") == "Bearer"
    assert exchange.received == 0


async def test_all_mistakes_are_told_at_once_in_fastapis_order() -> None:
    target = "/api/v1/things/toolong?limit=0&y=1&max=x&b=&a"
    answered = await ask(app_with(), "PUT", target, b'{"size": "x"}', who="me", content_type=JSON)
    assert answered.status == 422
    assert answered.mistakes == [
        ("string_too_long", ["path", "id"]),  # once for who asks, and once for the function
        ("string_too_long", ["path", "id"]),
        ("greater_than_equal", ["query", "limit"]),
        ("int_parsing", ["query", "max"]),
        ("extra_forbidden", ["query", "y"]),
        ("extra_forbidden", ["query", "b"]),
        ("extra_forbidden", ["query", "a"]),
        ("missing", ["body", "name"]),
        ("int_parsing", ["body", "size"]),
    ]
    assert called == []


async def test_an_unknown_query_parameter_is_refused_with_the_names_of_the_known_ones() -> None:
    answered = await ask(app_with(), "PUT", "/api/v1/things/1?Limit=3", b'{"name": "x"}', who="me", content_type=JSON)
    (mistake,) = answered.json["detail"]
    assert mistake == {"type": "extra_forbidden", "loc": ["query", "Limit"], "msg": "Unknown query parameter; known here: limit, max"}


async def test_a_query_parameter_without_a_default_has_to_be_there() -> None:
    def declare(router: APIRouter) -> None:
        @router.get("/api/v1/things")
        async def endpoint(at_least: Annotated[int, Query(alias="min")]) -> Thing:
            return Thing(name="x", size=at_least)

    assert (await ask(app_with(declare), "GET", "/api/v1/things")).mistakes == [("missing", ["query", "min"])]
    assert (await ask(app_with(declare), "GET", "/api/v1/things?min=3")).json["size"] == 3


async def test_of_a_parameter_that_comes_twice_the_last_one_counts() -> None:
    await ask(app_with(), "PUT", "/api/v1/things/1?limit=3&limit=4", b'{"name": "x"}', who="me", content_type=JSON)
    assert called[0][3] == 4


async def test_at_most_twenty_mistakes_are_told_wherever_they_are() -> None:
    query = "&".join(f"q{number}=" for number in range(30))
    answered = await ask(app_with(), "PUT", f"/api/v1/things/1?{query}", b"{}", who="me", content_type=JSON)
    assert [place for _, place in answered.mistakes] == [["query", f"q{number}"] for number in range(20)]


@pytest.mark.parametrize("chunks", [[b"x" * 65_537], [b"x" * 65_536, b"x"]], ids=["at once", "in chunks"])
async def test_a_body_beyond_the_routes_bound_is_refused(chunks: list[bytes]) -> None:
    answered = await ask(app_with(), "PUT", "/api/v1/things/1", chunks, who="me", content_type=JSON)
    assert (answered.status, answered.json["detail"]["error"]) == (413, "request_too_large")
    assert called == []


async def test_nobody_is_answered_who_went_away() -> None:
    exchange = Exchange("PUT", "/api/v1/things/1", {"who": "me", "content-type": JSON}, [b'{"name":'], breaks=True)
    await app_with()(exchange.scope, exchange.receive(), exchange.send)
    assert (exchange.sent, called) == ([], [])


async def test_a_function_that_reads_the_request_itself_is_bounded_and_interrupted_alike() -> None:
    def reading(router: APIRouter) -> None:
        @router.post("/api/v1/things/{id}", max_body_size=5)
        async def endpoint(request: Request) -> Response:
            called.append((await request.body(), request.path_params, request.app is app))
            return Response()

    app = app_with(reading)
    assert (await ask(app, "POST", "/api/v1/things/7", [b"123", b"45"])).status == 200
    assert called == [(b"12345", {"id": "7"}, True)]
    assert (await ask(app, "POST", "/api/v1/things/7", [b"123", b"456"])).status == 413
    exchange = Exchange("POST", "/api/v1/things/7", {}, [b"123"], breaks=True)
    await app(exchange.scope, exchange.receive(), exchange.send)
    assert (exchange.sent, len(called)) == ([], 1)


async def test_a_function_with_a_body_may_have_the_request_too() -> None:
    def reading(router: APIRouter) -> None:
        @router.post("/api/v1/things")
        async def endpoint(request: Request, thing: Thing) -> Response:
            return Response(await request.body())

    assert (await ask(app_with(reading), "POST", "/api/v1/things", b'{"name":  "x"}', content_type=JSON)).body == b'{"name":  "x"}'


def raising(error: Exception) -> Any:
    def declare(router: APIRouter) -> None:
        @router.get("/api/v1/things")
        async def endpoint() -> Thing:
            raise error

    return declare


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (CustomerNotFound("x"), 404, "customer_not_found"),
        (HTTPException(400, "\ud800"), 400, "bad_request"),
        (Overloaded(), 503, "overloaded"),
        (ConcurrentUpdate(), 503, "overloaded"),
    ],
    ids=str,
)
async def test_what_is_raised_is_told_by_the_one_table(error: Exception, status: int, code: str) -> None:
    answered = await ask(app_with(raising(error)), "GET", "/api/v1/things")
    assert (answered.status, answered.json["detail"]["error"]) == (status, code)
    assert (answered.header("retry-after") is not None) == (status == 503)


@pytest.mark.parametrize("leave", [False, True], ids=["frame", "FastAPI's"])
async def test_an_unexpected_error_is_answered_with_the_id_under_which_it_is_logged(caplog: pytest.LogCaptureFixture, leave: bool) -> None:
    def declare(router: APIRouter) -> None:
        raising(ZeroDivisionError("secret"))(router)
        if leave:
            for route in router.routes:
                assert isinstance(route, FrameRoute)
                route.leave_to_fastapi("for this test")

    exchange = Exchange("GET", "/api/v1/things", {"x-request-id": "order-17"})
    await exchange.run(app_with(declare))

    detail = exchange.answered.json["detail"]
    assert (exchange.answered.status, detail["error"], detail["request_id"]) == (500, "internal_error", "order-17")
    assert exchange.answered.header("connection") == "close"
    assert b"secret" not in exchange.answered.body
    (record,) = [record for record in caplog.records if record.name == "tollgate"]
    assert record.exc_info
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_a_failure_to_send_is_not_answered_again() -> None:
    async def lost(message: MutableMapping[str, Any]) -> None:
        called.append(message["type"])
        raise BrokenPipeError

    def declare(router: APIRouter) -> None:
        @router.get("/api/v1/things")
        async def endpoint() -> Thing:
            return Thing(name="x")

    exchange = Exchange("GET", "/api/v1/things")
    await app_with(declare)(exchange.scope, exchange.receive(), lost)
    assert called == ["http.response.start"]


@pytest.mark.parametrize(
    "target", ["/api/v1/things/1/", "/api/v1/things/", "/api/v1//1", "//api/v1/things/1", "/api/v1/things/%ff", "/nowhere/"]
)
@pytest.mark.parametrize("declare", [things, left_to_fastapi], ids=["frame", "FastAPI's"])
async def test_another_path_is_no_route_and_nobody_is_redirected(declare: Any, target: str) -> None:
    answered = await ask(app_with(declare), "PUT", target, b"{}", who="me", host="elsewhere.example")
    assert (answered.status, answered.json["detail"]["error"], answered.header("location")) == (404, "not_found", None)


async def test_nobody_is_redirected_to_the_documentation_either() -> None:
    assert (await ask(app_with(), "GET", "/docs/", host="elsewhere.example")).status == 404
    assert (await ask(app_with(), "GET", "/docs")).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "QUERY", "put"])
async def test_another_method_is_told_with_those_that_there_are(method: str) -> None:
    answered = await ask(app_with(), method, "/api/v1/things/1")
    assert (answered.status, answered.header("allow")) == (405, "PUT")


async def test_a_path_may_be_spelled_with_more_percent_signs_than_needed() -> None:
    assert (await ask(app_with(), "PUT", "/%61pi/v1/t%68ings/%31", b'{"name": "x"}', who="me", content_type=JSON)).status == 200


async def test_the_app_may_be_served_under_a_prefix() -> None:
    exchange = Exchange("PUT", "/api/v1/things/1", {"who": "me", "content-type": JSON}, [b'{"name": "x"}'], root_path="/tollgate")
    assert (await exchange.run(app_with())).status == 200


class Seeing:
    """Middleware that sees each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
        called.append((scope["path"], scope["route"].path if "route" in scope else None))


async def test_middleware_that_is_added_sees_each_request_and_the_answers_stay() -> None:
    plain, seen = app_with(), app_with()
    seen.add_middleware(Seeing)
    for target, headers in (("/api/v1/things/1", {"who": "me"}), ("/api/v1/things/1", {}), ("/nowhere", {})):
        exchanges = [Exchange("PUT", target, headers | {"content-type": JSON}, [b'{"name": "x"}']) for _ in range(2)]
        assert await exchanges[0].run(plain) == await exchanges[1].run(seen)
    assert [item for item in called if len(item) == 2] == [
        ("/api/v1/things/1", "/api/v1/things/{id}"),
        ("/api/v1/things/1", "/api/v1/things/{id}"),
        ("/nowhere", None),
    ]


async def test_where_fastapis_telemetry_is_on_requests_pass_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def passed(self: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope["path"])

    monkeypatch.setattr(FastAPI, "__call__", passed)
    for telemetry in ({}, {"tracing": False, "metrics": False}):
        exchange = Exchange("PUT", "/api/v1/things/1")
        await app_with(telemetry=telemetry)(exchange.scope, exchange.receive(), exchange.send)
    assert called == ["/api/v1/things/1"] * 2
