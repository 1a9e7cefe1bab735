"""Publish plans and declare features."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from core.errors import DomainError
from core.plans.drafts import EXPECTED_KEY, PlanDraft, is_key, is_name
from core.plans.features import RESOLUTION_MAX, Feature
from core.plans.on_outage import OnOutage
from core.plans.plan import FeatureConflict, Plan, PlanVersionConflict
from core.plans.ports import Plans, PlansUnitOfWork


class InvalidFeature(DomainError):
    """A feature that cannot be declared."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class FeatureInUse(DomainError):
    """A feature is to be metered that a plan grants as a number or a switch."""

    def __init__(self, key: str, plan: str) -> None:
        super().__init__(key, plan)
        self.key, self.plan = key, plan
        self.message = f"Plan {plan!r} grants {key!r} as a number or a switch: declare the metered feature under another key."

    def facts(self) -> Mapping[str, object]:
        return {"feature": self.key, "plan": self.plan}


@dataclass(frozen=True, slots=True)
class Published:
    """The plan's newest version, and whether this publication made it."""

    plan: Plan
    is_new: bool


class PublishPlan:
    """Publish a plan: a new version where its content changed, nothing where it did not.

    A published version never changes; customers stay on the version that they were put on.
    """

    def __init__(self, unit_of_work: Callable[[], PlansUnitOfWork]) -> None:
        self._unit_of_work = unit_of_work

    async def execute(self, draft: PlanDraft) -> Published:
        """Raises InvalidPlan, and PlanVersionConflict where somebody else publishes something different at the same time."""
        async with self._unit_of_work() as uow:
            newest = await uow.plans.latest(draft.key)
            version = newest.version + 1 if newest else 1
            plan = Plan(key=draft.key, version=version, name=draft.name, entitlements=draft.resolve(await uow.plans.features()))
            if newest is not None and plan.same_content(newest):
                return Published(newest, is_new=False)
            try:
                await uow.plans.publish(plan)
            except PlanVersionConflict:
                theirs = await uow.plans.latest(draft.key)
                if theirs is None or not plan.same_content(theirs):
                    raise
                return Published(theirs, is_new=False)
            await uow.commit()
        return Published(plan, is_new=True)


class DeclareFeature:
    """Declare a metered feature. Declaring it again as it is changes nothing; its unit and resolution never change.

    What is done on an outage may be chosen anew at any time, for the products' own features too.
    """

    def __init__(self, unit_of_work: Callable[[], PlansUnitOfWork], reserved: Collection[str]) -> None:
        """`reserved`: keys of numbers that products ask of plans."""
        self._unit_of_work = unit_of_work
        self._reserved = reserved

    async def execute(self, feature: Feature, on_outage: OnOutage | None = None) -> tuple[Feature, bool]:
        """The feature, and whether it is new. `on_outage`: None keeps what was chosen.

        Raises FeatureConflict, FeatureInUse and InvalidFeature.
        """
        if not (is_key(feature.key) and is_name(feature.unit)):
            raise InvalidFeature(f"{EXPECTED_KEY[0].upper()}{EXPECTED_KEY[1:]}, and a printable unit, are expected.")
        if feature.key in self._reserved:
            raise InvalidFeature(f"{feature.key!r} cannot be metered: plans grant it as a number.")
        if not 1 <= feature.resolution <= RESOLUTION_MAX:
            raise InvalidFeature(f"A resolution of 1 to {RESOLUTION_MAX:,} is expected.")
        async with self._unit_of_work() as uow:
            known = (await uow.plans.features()).get(feature.key)
            if known is None:
                await _require_unused(feature.key, uow.plans)
            declared = known or await uow.plans.declare(feature)
            if on_outage is not None and declared == feature:
                await uow.plans.choose(feature.key, on_outage)
            await uow.commit()
        if declared != feature:
            raise FeatureConflict(feature.key, declared.unit, declared.resolution)
        return declared, known is None


async def _require_unused(key: str, plans: Plans) -> None:
    """Or a plan that grants the key as a number or a switch could never be published again."""
    for plan in await plans.all_latest():
        if key in plan.entitlements:
            raise FeatureInUse(key, plan.key)
