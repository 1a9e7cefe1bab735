"""What a customer's plan says of a feature."""

from decimal import Decimal
from typing import Final

from core.metering.balance import FeatureNotInPlan, FeatureNotMetered
from core.plans.plan import Boolean, Metered, Plan, Static

NOT_IN_PLAN: Final = Metered(limit=0)
"""How usage is booked of a feature that the customer's plan does not have: all of it is overage."""


def metered_entitlement(plan: Plan, feature: str) -> Metered:
    """How usage of the feature is counted under the plan; NOT_IN_PLAN where the plan does not name it.

    Raises FeatureNotMetered, and FeatureNotInPlan where the plan switches the feature off.
    """
    match plan.entitlements.get(feature, NOT_IN_PLAN):
        case Metered() as metered:
            return metered
        case Boolean(enabled=False):
            raise FeatureNotInPlan(plan.key, feature)
        case _:
            raise FeatureNotMetered(plan.key, feature)


def countable(plan: Plan, feature: str) -> Metered:
    """As `metered_entitlement`, for what was used whatever the plan says: NOT_IN_PLAN also where the plan does not meter the feature."""
    entitlement = plan.entitlements.get(feature, NOT_IN_PLAN)
    return entitlement if isinstance(entitlement, Metered) else NOT_IN_PLAN


def static_value(plan: Plan, feature: str) -> Decimal:
    """The number that the plan grants. Raises FeatureNotInPlan where it grants none."""
    match plan.entitlements.get(feature):
        case Static(value=value):
            return value
        case _:
            raise FeatureNotInPlan(plan.key, feature)
