"""/api/v1/customers/{id}: what is agreed with a customer beside its plan, and what was in force when."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field

from api.dependencies import CustomerAdmin, CustomerReader, container_of
from api.docs import refusals
from api.frame.route import FrameRoute
from api.paging import page
from api.v1.bodies import decimal_or_none
from api.wire import Answer, Cursor, ExactNumber, Instant, Key, Label, Limit, Number, Page, Wire, from_cursor
from core.customers.override_limit import EndOverrideCommand, OverrideLimitCommand
from core.customers.put_addon import PutAddonCommand
from core.customers.schedule_plan import CallOffPlanCommand
from core.plans.agreement import Override
from core.plans.features import Feature
from core.plans.periods import Interval, Weekday
from core.plans.plan import Enforcement
from core.plans.terms import Terms, TermsChange, TermsHistory

router = APIRouter(prefix="/api/v1/customers/{customer_id}", tags=["customers"], route_class=FrameRoute)

ADDON_QUANTITY_MAX = 10_000


class OverrideBody(Wire):
    """A limit of the customer's own, in the feature's unit, in place of its plan's."""

    limit: Annotated[ExactNumber | None, Field(description="null: unlimited")]
    enforcement: Annotated[Enforcement | None, Field(description="null: the plan's")] = None
    until: Annotated[Instant | None, Field(description="when it ends by itself; null: never")] = None
    reason: Label | None = None


class OverrideAnswer(Answer):
    """A limit of the customer's own."""

    feature: str
    limit: Number | None
    enforcement: Enforcement | None
    until: datetime | None
    reason: str | None

    @classmethod
    def of(cls, override: Override, feature: Feature) -> "OverrideAnswer":
        return cls(
            feature=override.feature,
            limit=decimal_or_none(override.limit, feature),
            enforcement=override.enforcement,
            until=override.until,
            reason=override.reason,
        )


class AddonBody(Wire):
    """How often the plan counts on top of the customer's own."""

    quantity: Annotated[int, Field(ge=1, le=ADDON_QUANTITY_MAX, strict=True)]


class AddonAnswer(Answer):
    """A plan on top of the customer's own."""

    plan: str
    plan_version: int
    quantity: int


class TermsAnswer(Answer):
    """What is in force from `effective_at` on, and who put it so."""

    effective_at: datetime
    recorded_at: datetime
    changed_by: str
    reason: str | None
    plan: str
    plan_version: int
    billing_anchor: datetime | None
    billing_interval: Interval
    billing_interval_count: int
    time_zone: str
    week_starts_on: Weekday
    overrides: list[OverrideAnswer]
    addons: list[AddonAnswer]


@router.get("/plan-history")
async def plan_history(request: Request, caller: CustomerReader, limit: Limit = 50, cursor: Cursor = None) -> Page[TermsAnswer]:
    """Every change of plan, version, calendar, overrides and add-ons: when it takes effect, and who made it.

    A scheduled change is there with the time that lies ahead; one that was called off before is not.
    """
    container = container_of(request)
    features = {feature.key: feature for feature in await container.plan_reader().features()}
    history = TermsHistory.of(await container.terms_reader().history(caller.customer_id))
    before = from_cursor(cursor)
    steps = [step for step in reversed(list(history.steps())) if before is None or _position(step) < before]
    return page(steps[: limit + 1], limit, _position).each(lambda step: _terms(*step, features))


@router.delete("/scheduled-change", status_code=204)
async def call_off_scheduled_change(request: Request, caller: CustomerAdmin) -> None:
    """Call the scheduled change of plan off. Where none is scheduled: the same."""
    command = CallOffPlanCommand(customer_id=caller.customer_id, changed_by=caller.name)
    await container_of(request).call_off_plan().execute(command)


@router.put("/overrides/{feature}", responses=refusals("feature_not_in_plan", "invalid_quantity", "invalid_until"))
async def override_limit(request: Request, feature: Key, body: OverrideBody, caller: CustomerAdmin) -> OverrideAnswer:
    """Put a limit of the customer's own in place of its plan's, at once. It stays when the plan changes."""
    container = container_of(request)
    command = OverrideLimitCommand(
        customer_id=caller.customer_id,
        feature=feature,
        limit=body.limit,
        enforcement=body.enforcement,
        until=body.until,
        reason=body.reason,
        changed_by=caller.name,
    )
    customer = await container.override_limit().execute(command)
    features = await container.plan_reader().features()
    (override,) = (kept for kept in customer.agreement.overrides if kept.feature == feature)
    known = features.get(feature)
    assert known is not None, "it was overridden"
    return OverrideAnswer.of(override, known)


@router.delete("/overrides/{feature}", status_code=204)
async def end_override(request: Request, feature: Key, caller: CustomerAdmin) -> None:
    """Let the plan's own limit count again, at once. Where there is no override: the same."""
    command = EndOverrideCommand(customer_id=caller.customer_id, feature=feature, changed_by=caller.name)
    await container_of(request).end_override().execute(command)


@router.put("/addons/{plan_key}", responses=refusals("plan_not_found", "too_many_addons"))
async def put_addon(request: Request, plan_key: Key, body: AddonBody, caller: CustomerAdmin) -> AddonAnswer:
    """Put a plan on top of the customer's own, so many times, at once: its metered limits, static numbers and booleans."""
    command = PutAddonCommand(customer_id=caller.customer_id, plan=plan_key, quantity=body.quantity, changed_by=caller.name)
    customer = await container_of(request).put_addon().execute(command)
    (addon,) = (kept for kept in customer.agreement.addons if kept.version[0] == plan_key)
    return AddonAnswer(plan=addon.version[0], plan_version=addon.version[1], quantity=addon.quantity)


@router.delete("/addons/{plan_key}", status_code=204)
async def end_addon(request: Request, plan_key: Key, caller: CustomerAdmin) -> None:
    """Take the plan off the customer's own, at once. Where it is not there: the same."""
    command = PutAddonCommand(customer_id=caller.customer_id, plan=plan_key, quantity=0, changed_by=caller.name)
    await container_of(request).put_addon().execute(command)


def _position(step: tuple[TermsChange, Terms]) -> tuple[datetime, UUID]:
    return step[0].effective_at, step[0].id


def _terms(change: TermsChange, terms: Terms, features: dict[str, Feature]) -> TermsAnswer:
    billing, agreement = terms.billing, terms.agreement
    return TermsAnswer(
        effective_at=change.effective_at,
        recorded_at=change.recorded_at,
        changed_by=change.recorded_by,
        reason=change.reason,
        plan=terms.plan[0],
        plan_version=terms.plan[1],
        billing_anchor=billing.anchor,
        billing_interval=billing.interval,
        billing_interval_count=billing.interval_count,
        time_zone=billing.zone.key,
        week_starts_on=billing.week_starts_on,
        overrides=[OverrideAnswer.of(override, features[override.feature]) for override in agreement.overrides],
        addons=[AddonAnswer(plan=addon.version[0], plan_version=addon.version[1], quantity=addon.quantity) for addon in agreement.addons],
    )
