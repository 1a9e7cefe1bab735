"""The server under test: Tollgate itself, and beside it, in the same process, the ways that it is compared with.

- /bench/fastapi: routes of the service as FastAPI's own handler runs them: the same functions, use cases and answers.
- /bench/empty: an empty FastAPI route: a Pydantic body and a response model, no credentials and no database.
- /bench/noop: the same body, credentials and answer, through the frame, and no database: the ceiling of the HTTP layer.
- /bench/sql: the usual hand-written way, a conditional UPDATE and an INSERT in one transaction of its own.
- /bench/seed: COUNT and SUM over this period's rows on each request, then an INSERT.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy import text

from api.app import create_app
from api.container import Container
from api.dependencies import CustomerReader, CustomerWriter, container_of
from api.frame.route import FrameRoute
from api.replies import Reply
from api.settings import Settings
from api.v1 import conversations, sessions, usage
from api.v1.bodies import BalanceAnswer, PeriodBody, RecordAnswer, UsageAnswer, UsageBody, written
from api.v1.usage import FeatureStatus, StatusAnswer

LIMIT = 1_000_000_000

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS bench_counter (customer_id text PRIMARY KEY, used bigint NOT NULL, quota bigint NOT NULL)",
    """CREATE TABLE IF NOT EXISTS bench_record (
        customer_id text NOT NULL, id uuid NOT NULL, feature text NOT NULL, quantity bigint NOT NULL, occurred_at timestamptz NOT NULL,
        PRIMARY KEY (customer_id, id))""",
    "CREATE INDEX IF NOT EXISTS bench_record_period ON bench_record (customer_id, feature, occurred_at) INCLUDE (quantity)",
)

_UPDATE = text("UPDATE bench_counter SET used = used + 1 WHERE customer_id = :customer_id AND used + 1 <= quota RETURNING used")
_INSERT = text(
    "INSERT INTO bench_record (customer_id, id, feature, quantity, occurred_at) VALUES (:customer_id, :id, :feature, :quantity, :now)"
)
_SUM = text(
    """SELECT count(*), coalesce(sum(quantity), 0) FROM bench_record
    WHERE customer_id = :customer_id AND feature = :feature AND occurred_at >= :start AND occurred_at < :end"""
)


FASTAPIS = (
    (usage.router, "POST", "/api/v1/customers/{customer_id}/usage"),
    (usage.router, "GET", "/api/v1/customers/{customer_id}/usage"),
    (conversations.router, "POST", "/api/v1/messages"),
    (sessions.router, "POST", "/api/v1/sessions"),
)
"""The routes that are also run by FastAPI's own handler."""


class Taken(BaseModel):
    """The answer of an empty route."""

    taken: int


def _of_fastapi(router: APIRouter, method: str, path: str) -> APIRoute:
    """The same endpoint, under /bench/fastapi, as a route of FastAPI's own."""
    for route in router.routes:
        if isinstance(route, APIRoute) and route.path == path and method in (route.methods or ()):
            again = path.replace("/api/v1", "/bench/fastapi")
            return APIRoute(again, route.endpoint, methods=[method], response_model=route.response_model, status_code=route.status_code)
    raise LookupError(f"{method} {path}")


def _answer(feature: str, quantity: int, used: int, now: datetime) -> Reply:
    balance = BalanceAnswer(used=used, held=0, limit=LIMIT, remaining=LIMIT - used, allowance=LIMIT, granted=0, resets_at=now)
    record = RecordAnswer(id=str(uuid4()), feature=feature, quantity=quantity, occurred_at=now)
    return written(UsageAnswer(records=[record], balances={feature: balance}, over_limit=False))


def _status(customer_id: str) -> Reply:
    features = {
        feature: FeatureStatus(
            unit=feature,
            used=1,
            held=0,
            limit=LIMIT,
            remaining=LIMIT - 1,
            allowance=LIMIT,
            granted=0,
            overage=0,
            percent=0,
            display=f"{LIMIT - 1}/{LIMIT}",
            resets_at=datetime(2026, 12, 1, tzinfo=UTC),
        )
        for feature in ("calls", "conversations")
    }
    period = PeriodBody(start=None, end=None)
    return Reply.of(StatusAnswer(customer_id=customer_id, plan="bench", plan_version=1, period=period, features=dict(features)))


def create() -> FastAPI:
    """Tollgate with the other contestants added."""
    app = create_app(Container(settings=Settings()))
    bench, frame = APIRouter(prefix="/bench"), APIRouter(prefix="/bench", route_class=FrameRoute)

    @bench.post("/empty")
    async def empty(body: UsageBody) -> Taken:
        return Taken(taken=len(body.usage))

    @frame.post("/noop/{customer_id}", response_model=UsageAnswer)
    async def noop(request: Request, body: UsageBody, caller: CustomerWriter) -> Reply:
        return _answer(body.usage[0].feature, 1, 1, datetime.now(UTC))  # noqa: TID251

    @bench.post("/sql/{customer_id}", response_model=UsageAnswer)
    async def sql(request: Request, body: UsageBody, caller: CustomerWriter) -> Response:
        container = container_of(request)
        now, feature = datetime.now(UTC), body.usage[0].feature  # noqa: TID251
        async with container.engine().begin() as connection:
            used = (await connection.execute(_UPDATE, {"customer_id": caller.customer_id})).scalar_one()
            row = {"customer_id": caller.customer_id, "id": uuid4(), "feature": feature, "quantity": 1, "now": now}
            await connection.execute(_INSERT, row)
        return _answer(feature, 1, used, now).response()

    @bench.post("/seed/{customer_id}", response_model=UsageAnswer)
    async def seed(request: Request, body: UsageBody, caller: CustomerWriter) -> Response:
        container = container_of(request)
        now, feature = datetime.now(UTC), body.usage[0].feature  # noqa: TID251
        start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        period: dict[str, Any] = {"customer_id": caller.customer_id, "feature": feature, "start": start, "end": now}
        async with container.engine().begin() as connection:
            _, used = (await connection.execute(_SUM, period)).one()
            row = {"customer_id": caller.customer_id, "id": uuid4(), "feature": feature, "quantity": 1, "now": now}
            await connection.execute(_INSERT, row)
        return _answer(feature, 1, int(used) + 1, now).response()

    @frame.get("/noop/{customer_id}", response_model=StatusAnswer)
    async def noop_status(request: Request, caller: CustomerReader) -> Reply:
        return _status(caller.customer_id)

    # First of all: FastAPI looks a route up by trying one after the other.
    routes = app.router.routes
    first = next(place for place, route in enumerate(routes) if isinstance(route, FrameRoute))
    routes[first:first] = [*(_of_fastapi(*one) for one in FASTAPIS), *bench.routes, *frame.routes]
    return app
