"""/api/v1/customers/{customer_id}/alerts: at which usage somebody is told, and what was raised."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import Field

from api.dependencies import CustomerAdmin, CustomerReader, container_of
from api.docs import refusals
from api.frame.route import FrameRoute
from api.paging import page
from api.v1.bodies import PeriodBody, decimal_or_none
from api.wire import Answer, Cursor, ExactNumber, Key, Limit, Number, Page, Wire, from_cursor, number
from core.customers.own_alerts import EndAlertsCommand, PutAlertsCommand, ThresholdDraft
from core.metering.alerts import Alert
from core.plans.alerts import THRESHOLDS_MAX, Threshold, ThresholdType, named
from core.plans.features import Feature, FeatureCatalog

router = APIRouter(prefix="/api/v1/customers/{customer_id}/alerts", tags=["alerts"], route_class=FrameRoute)


class ThresholdBody(Wire):
    """A level of usage."""

    type: Annotated[ThresholdType, Field(description="percent of the limit, what was used, or what is left of the limit")]
    value: Annotated[
        ExactNumber, Field(description="a whole percentage from 1 to 1000, or a quantity in the feature's unit", examples=[80])
    ]


class ThresholdsBody(Wire):
    """The customer's own thresholds of a feature. An empty list: nothing is raised."""

    thresholds: Annotated[list[ThresholdBody], Field(max_length=THRESHOLDS_MAX)]


class ThresholdAnswer(Answer):
    """A level of usage."""

    type: ThresholdType
    value: Number

    @classmethod
    def of(cls, threshold: Threshold, feature: Feature) -> "ThresholdAnswer":
        kind, value = threshold
        return cls(type=kind, value=value if kind is ThresholdType.PERCENT else number(value, feature))


class ThresholdsAnswer(Answer):
    """The customer's own thresholds of a feature, in place of its plan's."""

    feature: str
    thresholds: list[ThresholdAnswer]

    @classmethod
    def of(cls, feature: Feature, thresholds: Iterable[Threshold]) -> "ThresholdsAnswer":
        return cls(feature=feature.key, thresholds=[ThresholdAnswer.of(threshold, feature) for threshold in thresholds])


class AlertAnswer(Answer):
    """A threshold that was reached: once in a period. `used` and `limit` are as they were then."""

    feature: str
    threshold: ThresholdAnswer
    period: PeriodBody
    raised_at: datetime
    used: Number
    limit: Annotated[Number | None, Field(description="null: unlimited")]
    event_id: Annotated[UUID, Field(description="the event that tells of it")]

    @classmethod
    def of(cls, alert: Alert, features: FeatureCatalog) -> "AlertAnswer":
        feature = features.get(alert.feature)
        assert feature is not None, "something of it was used"
        return cls(
            feature=alert.feature,
            threshold=ThresholdAnswer.of(named(alert.name), feature),
            period=PeriodBody.of(alert.period),
            raised_at=alert.raised_at,
            used=number(alert.used, feature),
            limit=decimal_or_none(alert.limit, feature),
            event_id=alert.event_id,
        )


@router.get("")
async def list_alerts(
    request: Request,
    caller: CustomerReader,
    feature: Annotated[Key | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AlertAnswer]:
    """Thresholds that the customer's usage reached, newest first."""
    container = container_of(request)
    found = await container.alert_reader().newest(caller.customer_id, limit + 1, from_cursor(cursor), feature=feature)
    features = await container.plan_reader().features()
    return page(found, limit, lambda alert: (alert.raised_at, alert.event_id)).each(lambda alert: AlertAnswer.of(alert, features))


@router.put("/{feature}", responses=refusals("feature_not_in_plan", "invalid_threshold"))
async def put_alerts(request: Request, feature: Key, body: ThresholdsBody, caller: CustomerAdmin) -> ThresholdsAnswer:
    """Put thresholds of the customer's own in place of its plan's, at once. One that usage has passed already is raised now."""
    container = container_of(request)
    command = PutAlertsCommand(
        customer_id=caller.customer_id,
        feature=feature,
        thresholds=[ThresholdDraft(threshold.type, threshold.value) for threshold in body.thresholds],
        changed_by=caller.name,
    )
    customer = await container.put_alerts().execute(command)
    (own,) = (kept for kept in customer.agreement.alerts if kept.feature == feature)
    known = (await container.plan_reader().features()).get(feature)
    assert known is not None, "it has thresholds"
    return ThresholdsAnswer.of(known, own.thresholds)


@router.delete("/{feature}", status_code=204)
async def end_alerts(request: Request, feature: Key, caller: CustomerAdmin) -> None:
    """Let the plan's own thresholds count again, at once. Where the customer has none of its own: the same."""
    command = EndAlertsCommand(customer_id=caller.customer_id, feature=feature, changed_by=caller.name)
    await container_of(request).end_alerts().execute(command)
