"""Plans and features in PostgreSQL: added to, never changed."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Row, Table, Text, select, tuple_
from sqlalchemy.dialects.postgresql import JSON, distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.plans.features import Feature, FeatureCatalog
from core.plans.periods import Reset
from core.plans.plan import Boolean, Enforcement, Entitlement, Metered, Plan, PlanVersionConflict, Static, Window
from core.plans.ports import PlanRepository
from infrastructure.sql.driver.errors import storage_errors
from infrastructure.sql.driver.schema import metadata

feature: Final = Table(
    "feature",
    metadata,
    Column("key", Text, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("resolution", BigInteger, nullable=False),
)

plan_version: Final = Table(
    "plan_version",
    metadata,
    Column("plan_key", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("entitlements", JSON, nullable=False),
    PrimaryKeyConstraint("plan_key", "version"),
)


class SqlPlans(PlanRepository):
    """Remembers versions and features once read, since they never change. One instance serves a process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._versions: dict[tuple[str, int], Plan] = {}
        self.catalog = FeatureCatalog()

    async def latest(self, key: str) -> Plan | None:
        with storage_errors():
            async with self._engine.connect() as connection:
                return await _latest(connection, key)

    async def all_latest(self) -> Sequence[Plan]:
        latest_first = (plan_version.c.plan_key, plan_version.c.version.desc())
        newest = select(plan_version).ext(distinct_on(plan_version.c.plan_key)).order_by(*latest_first)
        with storage_errors():
            async with self._engine.connect() as connection:
                return [_to_plan(row) for row in await connection.execute(newest)]

    async def publish(self, plan: Plan) -> None:
        statement = (
            insert(plan_version)
            .values(
                plan_key=plan.key,
                version=plan.version,
                name=plan.name,
                entitlements={key: _to_json(entitlement) for key, entitlement in plan.entitlements.items()},
            )
            .on_conflict_do_nothing()
            .returning(plan_version.c.version)
        )
        with storage_errors():
            async with self._engine.begin() as connection:
                written = (await connection.execute(statement)).scalar_one_or_none()
        if written is None:
            raise PlanVersionConflict(plan.key, plan.version)

    async def declare(self, value: Feature) -> Feature:
        statement = insert(feature).values(key=value.key, unit=value.unit, resolution=value.resolution).on_conflict_do_nothing()
        with storage_errors():
            async with self._engine.begin() as connection:
                await connection.execute(statement)
                row = (await connection.execute(select(feature).where(feature.c.key == value.key))).one()
        declared = Feature(row.key, row.unit, row.resolution)
        self.catalog.add(declared)
        return declared

    async def features(self) -> FeatureCatalog:
        with storage_errors():
            async with self._engine.connect() as connection:
                return await self.learn_features(connection, ())

    async def learn_features(self, connection: AsyncConnection, keys: Iterable[str] | None) -> FeatureCatalog:
        """The catalog, brought up to date where one of these keys is not in it; no keys: brought up to date anyway."""
        if not keys or any(self.catalog.get(key) is None for key in keys):
            for row in await connection.execute(select(feature)):
                self.catalog.add(Feature(row.key, row.unit, row.resolution))
        return self.catalog

    async def versions(self, connection: AsyncConnection, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], Plan]:
        """These versions of plans, which exist."""
        missing = wanted - self._versions.keys()
        if missing:
            rows = await connection.execute(
                select(plan_version).where(tuple_(plan_version.c.plan_key, plan_version.c.version).in_(sorted(missing)))
            )
            self._versions.update({(row.plan_key, row.version): _to_plan(row) for row in rows})
        return self._versions


async def _latest(connection: AsyncConnection, key: str) -> Plan | None:
    newest = select(plan_version).where(plan_version.c.plan_key == key).order_by(plan_version.c.version.desc()).limit(1)
    row = (await connection.execute(newest)).one_or_none()
    return None if row is None else _to_plan(row)


def _to_json(entitlement: Entitlement) -> dict[str, Any]:
    match entitlement:
        case Metered(limit, reset, enforcement, window):
            stored = {"type": "metered", "limit": limit, "reset": reset.value, "enforcement": enforcement.value}
            return stored if window is None else {**stored, "window": _window_to_json(window)}
        case Static(value):
            return {"type": "static", "value": str(value)}
        case Boolean(enabled):
            return {"type": "boolean", "enabled": enabled}


def _to_entitlement(stored: dict[str, Any]) -> Entitlement:
    match stored["type"]:
        case "metered":
            window = _to_window(stored["window"]) if "window" in stored else None
            return Metered(stored["limit"], Reset(stored["reset"]), Enforcement(stored["enforcement"]), window)
        case "static":
            return Static(Decimal(stored["value"]))
        case _:
            return Boolean(stored["enabled"])


def _window_to_json(window: Window) -> dict[str, Any]:
    return {"length_seconds": int(window.length.total_seconds()), "extending": window.extending, "messages_max": window.messages_max}


def _to_window(stored: dict[str, Any]) -> Window:
    return Window(timedelta(seconds=stored["length_seconds"]), stored["extending"], stored["messages_max"])


def _to_plan(row: Row[Any]) -> Plan:

    return Plan(row.plan_key, row.version, row.name, {key: _to_entitlement(value) for key, value in row.entitlements.items()})
