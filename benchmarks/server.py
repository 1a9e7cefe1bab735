"""The server under test: Tollgate itself, and beside it, in the same process, the ways that it is compared with.

- /bench/noop: the same body, credentials and answer, and no database: the ceiling of the HTTP layer.
- /bench/sql: the usual hand-written way, a conditional UPDATE and an INSERT in one transaction of its own.
- /bench/seed: COUNT and SUM over this period's rows on each request, then an INSERT.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, FastAPI, Request, Response
from sqlalchemy import text

from api.app import create_app
from api.container import Container
from api.dependencies import CustomerReader, CustomerWriter, container_of
from api.replies import Reply
from api.settings import Settings
from api.v1 import usage
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


def _answer(feature: str, quantity: int, used: int, now: datetime) -> Response:
    balance = BalanceAnswer(used=used, held=0, limit=LIMIT, remaining=LIMIT - used, resets_at=now)
    record = RecordAnswer(id=str(uuid4()), feature=feature, quantity=quantity, occurred_at=now)
    return written(UsageAnswer(records=[record], balances={feature: balance}, over_limit=False)).response()


def _status(customer_id: str) -> Response:
    features = {
        feature: FeatureStatus(
            unit=feature,
            used=1,
            held=0,
            limit=LIMIT,
            remaining=LIMIT - 1,
            overage=0,
            percent=0,
            display=f"{LIMIT - 1}/{LIMIT}",
            resets_at=datetime(2026, 12, 1, tzinfo=UTC),
        )
        for feature in ("calls", "conversations")
    }
    period = PeriodBody(start=None, end=None)
    return Reply.of(StatusAnswer(customer_id=customer_id, plan="bench", plan_version=1, period=period, features=dict(features))).response()


def create() -> FastAPI:
    """Tollgate with the other contestants added."""
    app = create_app(Container(settings=Settings()))
    bench = APIRouter(prefix="/bench")

    @bench.post("/noop/{customer_id}", response_model=UsageAnswer)
    async def noop(request: Request, body: UsageBody, caller: CustomerWriter) -> Response:
        return _answer(body.usage[0].feature, 1, 1, datetime.now(UTC))  # noqa: TID251

    @bench.post("/sql/{customer_id}", response_model=UsageAnswer)
    async def sql(request: Request, body: UsageBody, caller: CustomerWriter) -> Response:
        container = container_of(request)
        now, feature = datetime.now(UTC), body.usage[0].feature  # noqa: TID251
        async with container.engine().begin() as connection:
            used = (await connection.execute(_UPDATE, {"customer_id": caller.customer_id})).scalar_one()
            row = {"customer_id": caller.customer_id, "id": uuid4(), "feature": feature, "quantity": 1, "now": now}
            await connection.execute(_INSERT, row)
        return _answer(feature, 1, used, now)

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
        return _answer(feature, 1, int(used) + 1, now)

    @bench.get("/noop/{customer_id}", response_model=StatusAnswer)
    async def noop_status(request: Request, caller: CustomerReader) -> Response:
        return _status(caller.customer_id)

    # Right behind those that they are compared with: looking a route up takes time, too.
    behind = 1 + max(app.router.routes.index(route) for route in usage.router.routes)
    app.router.routes[behind:behind] = bench.routes
    return app
