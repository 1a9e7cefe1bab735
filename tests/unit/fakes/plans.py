"""The plan catalogue in memory, faithful to the SQL adapter: versions and features are added, seen once committed, never changed."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from core.plans.agreement import Agreement, PlanVersion, plan_at
from core.plans.features import Feature, FeatureCatalog
from core.plans.on_outage import OnOutage
from core.plans.plan import Plan, PlanVersionConflict
from core.plans.ports import Plans
from core.products import BUILT_IN


class PlanStore:
    """What is committed. Tests may read and write every attribute."""

    def __init__(self, plans: Iterable[Plan] = (), features: Iterable[Feature] = ()) -> None:
        self.plans = {(plan.key, plan.version): plan for plan in plans}
        self.declared = {feature.key: feature for feature in features}
        self.on_outage: dict[str, OnOutage] = {}

    def unit_of_work(self) -> "FakePlansUnitOfWork":
        return FakePlansUnitOfWork(self)


class FakePlans(Plans):
    """Sees what is committed and what it has added itself."""

    def __init__(self, store: PlanStore) -> None:
        self._store = store
        self._published: dict[tuple[str, int], Plan] = {}
        self._added: dict[str, Feature] = {}
        self._chosen: dict[str, OnOutage] = {}

    async def latest(self, key: str) -> Plan | None:
        versions = [plan for plan in self._versions() if plan.key == key]
        return max(versions, key=lambda plan: plan.version, default=None)

    async def all_latest(self) -> Sequence[Plan]:
        newest = {plan.key: plan for plan in sorted(self._versions(), key=lambda plan: (plan.key, plan.version))}
        return list(newest.values())

    async def applying(self, version: PlanVersion, agreement: Agreement) -> Plan:
        return plan_at(version, agreement, {(plan.key, plan.version): plan for plan in self._versions()})

    async def features(self) -> FeatureCatalog:
        return FeatureCatalog([*BUILT_IN, *self._store.declared.values()])

    async def publish(self, plan: Plan) -> None:
        if any((known.key, known.version) == (plan.key, plan.version) for known in self._versions()):
            raise PlanVersionConflict(plan.key, plan.version)
        self._published[plan.key, plan.version] = plan

    async def declare(self, feature: Feature) -> Feature:
        return self._store.declared.get(feature.key) or self._added.setdefault(feature.key, feature)

    async def on_outage(self) -> Mapping[str, OnOutage]:
        return {**self._store.on_outage, **self._chosen}

    async def choose(self, feature: str, on_outage: OnOutage) -> None:
        self._chosen[feature] = on_outage

    def _versions(self) -> list[Plan]:
        return [*self._store.plans.values(), *self._published.values()]

    def write(self) -> None:
        """What the commit does."""
        self._store.plans |= self._published
        self._store.declared |= self._added
        self._store.on_outage |= self._chosen


class FakePlansUnitOfWork:
    """Serves the `PlansUnitOfWork` port."""

    plans: FakePlans

    def __init__(self, store: PlanStore) -> None:
        self.store = store
        self.committed = False

    async def __aenter__(self) -> Self:
        self.plans = FakePlans(self.store)
        return self

    async def commit(self) -> None:
        assert not self.committed, "a unit of work is committed once"
        self.plans.write()
        self.committed = True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """What was not committed is forgotten."""
