"""/api/v1/plans and /api/v1/features: what customers may use."""

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from api.dependencies import admin, container_of, reader
from api.docs import refusals
from api.frame.route import FrameRoute
from api.option_bodies import options_in, with_options
from api.replies import Reply
from api.v1.bodies import decimal_or_none
from api.wire import Answer, Cursor, ExactNumber, Key, Limit, Number, Page, Wire, decimal_number, number
from core.plans.alerts import ALERTS_DEFAULT, PERCENT_MAX, THRESHOLDS_MAX
from core.plans.drafts import EntitlementDraft, MeteredDraft, PlanDraft, is_key
from core.plans.features import Feature, FeatureCatalog
from core.plans.on_outage import OnOutage
from core.plans.periods import Reset
from core.plans.plan import Boolean, Enforcement, Entitlement, Metered, Plan, PlanNotFound, Static
from core.plans.rollover import PERIODS_MAX, RolloverDraft
from core.products import OPTIONS

router = APIRouter(prefix="/api/v1", tags=["plans"], route_class=FrameRoute)


class RolloverBody(Wire):
    """What is left of the limit when a period ends stays usable for so many periods more."""

    max: ExactNumber | None = Field(None, description="how much may be rolled over in all; beyond it the oldest goes. null: any amount")
    periods: int = Field(1, ge=1, le=PERIODS_MAX, strict=True)


@with_options(OPTIONS)
class MeteredBody(Wire):
    """A limit on usage, in the feature's unit. Null is unlimited, 0 is none."""

    type: Literal["metered"]
    limit: ExactNumber | None
    reset: Reset = Reset.BILLING_PERIOD
    enforcement: Enforcement = Enforcement.HARD
    rollover: RolloverBody | None = Field(None, description="null: what is left of a period is gone with it")
    alerts: list[Annotated[int, Field(ge=1, le=PERCENT_MAX, strict=True)]] | None = Field(
        None,
        max_length=THRESHOLDS_MAX,
        description="at which percentages of the limit an event is raised, once in a period; [] none; null: 80, 95 and 100",
        examples=[[80, 95, 100]],
    )


class StaticBody(Wire):
    """A number that the plan grants."""

    type: Literal["static"]
    value: ExactNumber


class BooleanBody(Wire):
    """A capability that the plan turns on or off."""

    type: Literal["boolean"]
    enabled: bool = Field(strict=True)


EntitlementBody = Annotated[MeteredBody | StaticBody | BooleanBody, Field(discriminator="type")]


class PlanBody(Wire):
    """A plan's content."""

    name: str | None = Field(None, min_length=1, max_length=200, description="for people to read; absent: the key")
    entitlements: dict[str, EntitlementBody] = Field(max_length=200)


Told = Number | str | bool | list[Number] | dict[str, Number | str | bool | None] | None


class PlanAnswer(Answer):
    """One published version of a plan."""

    key: str
    version: int
    name: str
    entitlements: dict[str, dict[str, Told]]

    @classmethod
    def of(cls, plan: Plan, catalog: FeatureCatalog) -> "PlanAnswer":
        entitlements = {key: _told(key, entitlement, catalog) for key, entitlement in plan.entitlements.items()}
        return cls(key=plan.key, version=plan.version, name=plan.name, entitlements=entitlements)


class FeatureBody(Wire):
    """A metered feature. `resolution` is how many smallest parts make one unit: 60 keeps minutes in whole seconds."""

    unit: str = Field(min_length=1, max_length=200)
    resolution: int = Field(1, strict=True)
    on_outage: OnOutage | None = Field(
        None, description="while the database is away: refuse, or admit by the last known balance and book later; null: as it was chosen"
    )


class FeatureAnswer(Answer):
    """A declared feature."""

    key: str
    unit: str
    resolution: int
    on_outage: OnOutage


@router.put(
    "/plans/{key}",
    dependencies=[Depends(admin)],
    response_model=PlanAnswer,
    responses={
        201: {"model": PlanAnswer, "description": "A new version was published."},
        **refusals("invalid_plan", "plan_version_conflict"),
    },
)
async def put_plan(request: Request, key: Annotated[Key, Path()], body: PlanBody) -> Reply:
    """Publish a plan: a new version, or nothing where the content is unchanged. A published version never changes."""
    container = container_of(request)
    published = await container.publish_plan().execute(draft_of(key, body))
    answer = PlanAnswer.of(published.plan, await container.plan_reader().features())
    return Reply.of(answer, 201 if published.is_new else 200)


@router.get("/plans", dependencies=[Depends(reader)])
async def list_plans(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Page[PlanAnswer]:
    """The newest version of every plan, by key."""
    container = container_of(request)
    catalog = await container.plan_reader().features()
    following = [plan for plan in await container.plan_reader().all_latest() if cursor is None or plan.key > cursor]
    page = following[:limit]
    return Page(items=[PlanAnswer.of(plan, catalog) for plan in page], next_cursor=page[-1].key if len(following) > limit else None)


@router.get("/plans/{key}", dependencies=[Depends(reader)], responses=refusals("plan_not_found"))
async def get_plan(request: Request, key: Annotated[Key, Path()]) -> PlanAnswer:
    """The newest version of a plan."""
    container = container_of(request)
    plan = await container.plan_reader().latest(key) if is_key(key) else None
    if plan is None:
        raise PlanNotFound(key)
    return PlanAnswer.of(plan, await container.plan_reader().features())


@router.put(
    "/features/{key}",
    dependencies=[Depends(admin)],
    response_model=FeatureAnswer,
    responses={201: {"model": FeatureAnswer, "description": "The feature is new."}, **refusals("invalid_feature", "feature_conflict")},
)
async def put_feature(request: Request, key: Annotated[Key, Path()], body: FeatureBody) -> Reply:
    """Declare a metered feature, so that plans may name it. Its unit and resolution never change; `on_outage` may, a built-in one's too."""
    container = container_of(request)
    feature, is_new = await container.declare_feature().execute(Feature(key, body.unit, body.resolution), body.on_outage)
    chosen = (await container.plan_reader().on_outage()).get(key, OnOutage.REFUSE)
    answer = FeatureAnswer(key=feature.key, unit=feature.unit, resolution=feature.resolution, on_outage=chosen)
    return Reply.of(answer, 201 if is_new else 200)


def draft_of(key: str, body: PlanBody) -> PlanDraft:
    """The plan as its author wrote it, by whatever way it came."""
    return PlanDraft(key, body.name or key, {feature: _draft(entitlement) for feature, entitlement in body.entitlements.items()})


def _draft(body: MeteredBody | StaticBody | BooleanBody) -> EntitlementDraft:
    match body:
        case MeteredBody():
            rollover = None if body.rollover is None else RolloverDraft(body.rollover.max, body.rollover.periods)
            alerts = None if body.alerts is None else tuple(body.alerts)
            return MeteredDraft(body.limit, body.reset, body.enforcement, options_in(body, OPTIONS), rollover, alerts)
        case StaticBody():
            return Static(body.value)
        case BooleanBody():
            return Boolean(body.enabled)


def _told(key: str, entitlement: Entitlement, catalog: FeatureCatalog) -> dict[str, Told]:
    match entitlement:
        case Metered(limit=limit, reset=reset, enforcement=enforcement, options=options, rollover=rollover):
            feature = catalog.get(key)
            assert feature is not None, "published plans name declared features only"
            shown = None if limit is None else number(limit, feature)
            told: dict[str, Told] = {"type": "metered", "limit": shown, "reset": reset.value, "enforcement": enforcement.value}
            if rollover is not None:
                told["rollover"] = {"max": decimal_or_none(rollover.max, feature), "periods": rollover.periods}
            if entitlement.alerts != ALERTS_DEFAULT:
                told["alerts"] = [threshold.value for threshold in entitlement.alerts]
            told |= {option.name: {**option.to_json()} for option in options}
            return told
        case Static(value):
            return {"type": "static", "value": decimal_number(Decimal(value))}
        case Boolean(enabled):
            return {"type": "boolean", "enabled": enabled}
