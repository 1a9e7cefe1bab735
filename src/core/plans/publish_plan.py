"""Publish plans and declare features."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import DomainError
from core.plans.drafts import EXPECTED_KEY, PlanDraft, is_key, is_name
from core.plans.features import BUILT_IN_STATIC, RESOLUTION_MAX, Feature
from core.plans.plan import FeatureConflict, Plan, PlanVersionConflict
from core.plans.ports import PlanRepository


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

    def __init__(self, plans: PlanRepository) -> None:
        self._plans = plans

    async def execute(self, draft: PlanDraft) -> Published:
        """Raises InvalidPlan, and PlanVersionConflict where somebody else publishes something different at the same time."""
        entitlements = draft.resolve(await self._plans.features())
        newest = await self._plans.latest(draft.key)
        plan = Plan(draft.key, newest.version + 1 if newest else 1, draft.name, entitlements)
        if newest is not None and plan.same_content(newest):
            return Published(newest, is_new=False)
        try:
            await self._plans.publish(plan)
        except PlanVersionConflict:
            theirs = await self._plans.latest(draft.key)
            if theirs is None or not plan.same_content(theirs):
                raise
            return Published(theirs, is_new=False)
        return Published(plan, is_new=True)


class DeclareFeature:
    """Declare a metered feature. Declaring it again as it is changes nothing; its unit and resolution never change."""

    def __init__(self, plans: PlanRepository) -> None:
        self._plans = plans

    async def execute(self, feature: Feature) -> tuple[Feature, bool]:
        """The feature, and whether it is new. Raises FeatureConflict, FeatureInUse and InvalidFeature."""
        if not (is_key(feature.key) and is_name(feature.unit)):
            raise InvalidFeature(f"{EXPECTED_KEY[0].upper()}{EXPECTED_KEY[1:]}, and a printable unit, are expected.")
        if feature.key in BUILT_IN_STATIC:
            raise InvalidFeature(f"{feature.key!r} is a number that plans grant, and cannot be metered.")
        if not 1 <= feature.resolution <= RESOLUTION_MAX:
            raise InvalidFeature(f"A resolution of 1 to {RESOLUTION_MAX:,} is expected.")
        known = (await self._plans.features()).get(feature.key)
        if known is None:
            await self._require_unused(feature.key)
        declared = known or await self._plans.declare(feature)
        if declared != feature:
            raise FeatureConflict(feature.key, declared.unit, declared.resolution)
        return declared, known is None

    async def _require_unused(self, key: str) -> None:
        """Or a plan that grants the key as a number or a switch could never be published again."""
        for plan in await self._plans.all_latest():
            if key in plan.entitlements:
                raise FeatureInUse(key, plan.key)
