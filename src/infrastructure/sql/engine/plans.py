"""Plans and features in PostgreSQL: added to, never changed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from asyncpg import Record
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import JSON

from core.plans.agreement import Agreement, PlanVersion, plan_at, versions_of
from core.plans.alerts import ALERTS_DEFAULT, percentages
from core.plans.features import Feature, FeatureCatalog
from core.plans.on_outage import OnOutage
from core.plans.options import Option
from core.plans.periods import Reset
from core.plans.plan import Boolean, Enforcement, Entitlement, Metered, Plan, PlanVersionConflict, Static
from core.plans.ports import PlanReader, Plans
from core.plans.rollover import Rollover
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.rows import Rows, write
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement

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

feature_on_outage: Final = Table(
    "feature_on_outage", metadata, Column("feature", Text, primary_key=True), Column("on_outage", Text, nullable=False)
)

_LATEST: Final = HotStatement("SELECT * FROM plan_version WHERE plan_key = :key ORDER BY version DESC LIMIT 1")
_ALL_LATEST: Final = HotStatement("SELECT DISTINCT ON (plan_key) * FROM plan_version ORDER BY plan_key, version DESC")
_PUBLISH: Final = HotStatement(
    """
    INSERT INTO plan_version (plan_key, version, name, entitlements) VALUES (:key, :version, :name, CAST(:entitlements AS json))
    ON CONFLICT (plan_key, version) DO NOTHING RETURNING version
    """
)
_FEATURES: Final = HotStatement("SELECT key, unit, resolution FROM feature")
_ON_OUTAGE: Final = HotStatement("SELECT feature, on_outage FROM feature_on_outage")
_CHOOSE: Final = HotStatement(
    """
    INSERT INTO feature_on_outage (feature, on_outage) VALUES (:feature, :on_outage)
    ON CONFLICT (feature) DO UPDATE SET on_outage = EXCLUDED.on_outage
    """
)


AGREED_MAX: Final = 20_000
"""How many plans with what is agreed beside them are remembered."""


class PlanCatalog:
    """Versions and features, remembered once they are read, since they never change. One instance serves a process."""

    def __init__(self, built_in: Iterable[Feature], options: Iterable[type[Option]]) -> None:
        """`options`: those that stored entitlements may carry."""
        self._versions: dict[PlanVersion, Plan] = {}
        self._agreed: dict[tuple[PlanVersion, Agreement], Plan] = {}
        self._options = tuple(options)
        self._rows = Rows(plan_version, _from_plan, self.plan_of)
        self.features = FeatureCatalog(built_in)

    def plan_of(self, row: Record) -> Plan:
        """The version that the row holds."""
        entitlements = {key: _to_entitlement(value, self._options) for key, value in row["entitlements"].items()}
        return Plan(key=row["plan_key"], version=row["version"], name=row["name"], entitlements=entitlements)

    async def learn_features(self, driver: Driver, keys: Iterable[str] | None) -> FeatureCatalog:
        """The features, brought up to date where one of these keys is not among them; no keys: brought up to date anyway."""
        if not keys or any(self.features.get(key) is None for key in keys):
            for row in await _FEATURES.fetch(driver, {}):
                self.features.add(_DECLARED.from_row(row))
        return self.features

    async def plans_of(
        self, driver: Driver, wanted: Iterable[tuple[PlanVersion, Agreement]]
    ) -> Mapping[tuple[PlanVersion, Agreement], Plan]:
        """What applies under each of these plans and agreements, which hold now."""
        missing = {terms for terms in wanted if terms not in self._agreed}
        if missing:
            versions = await self.versions(driver, set().union(*(versions_of(*terms) for terms in missing)))
            if len(self._agreed) > AGREED_MAX:
                self._agreed.clear()
            self._agreed.update((terms, plan_at(*terms, versions)) for terms in missing)
        return self._agreed

    async def versions(self, driver: Driver, wanted: set[PlanVersion]) -> Mapping[PlanVersion, Plan]:
        """These versions of plans, which exist."""
        missing = wanted - self._versions.keys()
        if missing:
            self._versions.update({(plan.key, plan.version): plan for plan in await self._rows.find(driver, sorted(missing))})
        return self._versions


class SqlPlans(Plans):
    """Within the transaction of a unit of work."""

    def __init__(self, driver: Driver, catalog: PlanCatalog) -> None:
        self._driver = driver
        self._catalog = catalog
        self._declared: list[Feature] = []

    async def latest(self, key: str) -> Plan | None:
        rows = await _LATEST.fetch(self._driver, {"key": key})
        return self._catalog.plan_of(rows[0]) if rows else None

    async def all_latest(self) -> Sequence[Plan]:
        return [self._catalog.plan_of(row) for row in await _ALL_LATEST.fetch(self._driver, {})]

    async def applying(self, version: PlanVersion, agreement: Agreement) -> Plan:
        terms = version, agreement
        return (await self._catalog.plans_of(self._driver, [terms]))[terms]

    async def features(self) -> FeatureCatalog:
        return await self._catalog.learn_features(self._driver, None)

    async def on_outage(self) -> Mapping[str, OnOutage]:
        return {row["feature"]: OnOutage(row["on_outage"]) for row in await _ON_OUTAGE.fetch(self._driver, {})}

    async def publish(self, plan: Plan) -> None:
        parameters = dict(zip(("key", "version", "name", "entitlements"), _from_plan(plan), strict=True))
        if not await _PUBLISH.fetch(self._driver, parameters):
            raise PlanVersionConflict(plan.key, plan.version)

    async def declare(self, feature: Feature) -> Feature:
        await write(self._driver, [_DECLARED.put([feature])])
        (declared,) = await _DECLARED.find(self._driver, [(feature.key,)])
        self._declared.append(declared)
        return declared

    async def choose(self, feature: str, on_outage: OnOutage) -> None:
        await _CHOOSE.fetch(self._driver, {"feature": feature, "on_outage": on_outage.value})

    def committed(self) -> None:
        """What was declared stands: from now on the process counts it."""
        for feature in self._declared:
            self._catalog.features.add(feature)


class SqlPlanReader(PlanReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, connections: Connections, catalog: PlanCatalog) -> None:
        self._connections = connections
        self._catalog = catalog

    async def latest(self, key: str) -> Plan | None:
        return await self._connections.ask(lambda driver: SqlPlans(driver, self._catalog).latest(key))

    async def all_latest(self) -> Sequence[Plan]:
        return await self._connections.ask(lambda driver: SqlPlans(driver, self._catalog).all_latest())

    async def applying(self, version: PlanVersion, agreement: Agreement) -> Plan:
        return await self._connections.ask(lambda driver: SqlPlans(driver, self._catalog).applying(version, agreement))

    async def features(self) -> FeatureCatalog:
        return await self._connections.ask(lambda driver: SqlPlans(driver, self._catalog).features())

    async def on_outage(self) -> Mapping[str, OnOutage]:
        return await self._connections.ask(lambda driver: SqlPlans(driver, self._catalog).on_outage())


def _to_json(entitlement: Entitlement) -> dict[str, Any]:
    match entitlement:
        case Metered(limit=limit, reset=reset, enforcement=enforcement, options=options, rollover=rollover):
            stored: dict[str, Any] = {"type": "metered", "limit": limit, "reset": reset.value, "enforcement": enforcement.value}
            if rollover is not None:
                stored["rollover"] = {"max": rollover.max, "periods": rollover.periods}
            if entitlement.alerts != ALERTS_DEFAULT:
                stored["alerts"] = [threshold.value for threshold in entitlement.alerts]
            return stored | {option.name: option.to_json() for option in options}
        case Static(value):
            return {"type": "static", "value": str(value)}
        case Boolean(enabled):
            return {"type": "boolean", "enabled": enabled}


def _to_entitlement(stored: dict[str, Any], options: Iterable[type[Option]]) -> Entitlement:
    match stored["type"]:
        case "metered":
            return Metered(
                limit=stored["limit"],
                reset=Reset(stored["reset"]),
                enforcement=Enforcement(stored["enforcement"]),
                options=tuple(option.from_json(stored[option.name]) for option in options if option.name in stored),
                rollover=Rollover(**stored["rollover"]) if "rollover" in stored else None,
                alerts=percentages(*stored["alerts"]) if "alerts" in stored else ALERTS_DEFAULT,
            )
        case "static":
            return Static(Decimal(stored["value"]))
        case _:
            return Boolean(stored["enabled"])


def _from_plan(plan: Plan) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    entitlements = {key: _to_json(entitlement) for key, entitlement in plan.entitlements.items()}
    return plan.key, plan.version, plan.name, json.dumps(entitlements)


_DECLARED: Final = Rows.alike(feature, Feature, changing=())
