"""What a customer has beside its plan: a scheduled change, limits of its own, add-ons. Decided by the clock, with no job."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from core.plans.alerts import Threshold
from core.plans.plan import Boolean, Enforcement, Entitlement, Metered, Plan, Static

PlanVersion = tuple[str, int]
"""A published version of a plan: its key and its number."""


@dataclass(frozen=True, slots=True)
class ScheduledPlan:
    """The plan that a customer goes over to at an instant; the version is the one that was the newest when it was scheduled.

    `id` is that of the entry in the customer's history.
    """

    id: UUID
    version: PlanVersion
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class Override:
    """A customer's own limit of one metered feature, in smallest parts; None is unlimited. It stands in place of the plan's.

    `enforcement` of None keeps the plan's. It ends by itself at `until`, if there is one.
    """

    feature: str
    limit: int | None
    enforcement: Enforcement | None = None
    until: datetime | None = None
    reason: str | None = None

    def holds_at(self, instant: datetime) -> bool:
        """Until it ends, `until` itself not included."""
        return self.until is None or instant < self.until


@dataclass(frozen=True, slots=True)
class Addon:
    """A plan that a customer has on top of its own, so many times."""

    version: PlanVersion
    quantity: int


@dataclass(frozen=True, slots=True)
class OwnAlerts:
    """Thresholds of a metered feature that a customer has in place of its plan's, the lowest first; none: nothing is raised."""

    feature: str
    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """All of it. At most one override and one list of thresholds of a feature, and one add-on of a plan."""

    scheduled: ScheduledPlan | None = None
    overrides: tuple[Override, ...] = ()
    addons: tuple[Addon, ...] = ()
    alerts: tuple[OwnAlerts, ...] = ()

    def __bool__(self) -> bool:
        return self != NO_AGREEMENT

    def at(self, instant: datetime) -> "Agreement":
        """What of it holds at the instant: a change that is due is no longer scheduled, and an override that has ended is gone."""
        scheduled = self.scheduled if self.scheduled and instant < self.scheduled.effective_at else None
        return replace(self, scheduled=scheduled, overrides=tuple(kept for kept in self.overrides if kept.holds_at(instant)))

    def due(self, instant: datetime) -> PlanVersion | None:
        """The plan that a scheduled change has put in force by the instant."""
        return self.scheduled.version if self.scheduled and self.scheduled.effective_at <= instant else None

    def overriding(self, override: Override) -> "Agreement":
        """With this override of its feature in place of any other."""
        return replace(self, overrides=(*(kept for kept in self.overrides if kept.feature != override.feature), override))

    def adding(self, addon: Addon) -> "Agreement":
        """With this add-on in place of any other of its plan; a quantity of nothing ends it."""
        others = tuple(kept for kept in self.addons if kept.version[0] != addon.version[0])
        return replace(self, addons=(*others, addon) if addon.quantity else others)

    def alerting(self, feature: str, own: OwnAlerts | None) -> "Agreement":
        """With these thresholds of the feature in place of any others; None: with the plan's."""
        others = tuple(kept for kept in self.alerts if kept.feature != feature)
        return replace(self, alerts=others if own is None else (*others, own))


NO_AGREEMENT: Final = Agreement()


def plan_with(plan: Plan, overrides: Iterable[Override], addons: Iterable[tuple[Plan, int]], alerts: Iterable[OwnAlerts] = ()) -> Plan:
    """The plan as it applies to a customer: an override in place of the plan's limit, and add-ons on top of it.

    The customer's own thresholds are in place of the plan's, where the plan meters the feature.

    An add-on's metered limits and static numbers count so many times, its booleans switch on, and what the plan lacks comes with it.
    Where either is unlimited, so is the sum. The reset and the enforcement of a limit stay the plan's own.
    """
    entitlements = dict(plan.entitlements)
    for override in overrides:
        entitlements[override.feature] = _overridden(entitlements.get(override.feature), override)
    for addon, quantity in addons:
        for feature, more in addon.entitlements.items():
            entitlements[feature] = _added(entitlements.get(feature), more, quantity)
    for own in alerts:
        known = entitlements.get(own.feature)
        if isinstance(known, Metered):
            entitlements[own.feature] = replace(known, alerts=own.thresholds)
    return replace(plan, entitlements=entitlements)


def _overridden(known: Entitlement | None, override: Override) -> Entitlement:
    metered = known if isinstance(known, Metered) else Metered(limit=0)
    return replace(metered, limit=override.limit, enforcement=override.enforcement or metered.enforcement)


def _added(known: Entitlement | None, more: Entitlement, quantity: int) -> Entitlement:
    if known is None or known == Boolean(enabled=False):
        return _times(more, quantity)
    match known, more:
        case Metered() as metered, Metered(limit=limit):
            return replace(metered, limit=None if metered.limit is None or limit is None else metered.limit + limit * quantity)
        case Static(value), Static(added):
            return Static(value + added * quantity)
    return known  # switched on already, or of another type than the plan's: what the plan says of the feature stays


def _times(entitlement: Entitlement, quantity: int) -> Entitlement:
    match entitlement:
        case Metered(limit=limit):
            return replace(entitlement, limit=None if limit is None else limit * quantity)
        case Static(value):
            return Static(value * quantity)
        case Boolean():
            return entitlement


def versions_of(plan: PlanVersion, agreement: Agreement) -> set[PlanVersion]:
    """The versions that have to be known to tell what applies."""
    return {plan, *(addon.version for addon in agreement.addons)}


def plan_at(plan: PlanVersion, agreement: Agreement, versions: Mapping[PlanVersion, Plan]) -> Plan:
    """What applies to a customer on this plan with this agreement, which holds now."""
    if not (agreement.overrides or agreement.addons or agreement.alerts):
        return versions[plan]
    addons = [(versions[addon.version], addon.quantity) for addon in agreement.addons]
    return plan_with(versions[plan], agreement.overrides, addons, agreement.alerts)
