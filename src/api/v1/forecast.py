"""/api/v1/customers/{customer_id}/usage/forecast: where features will stand at the reset, and when limits will be reached."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from api.dependencies import CustomerReader, container_of
from api.frame.route import FrameRoute
from api.wire import Answer, Number, number
from core.history.forecast import METHOD, TOO_LITTLE_HISTORY, Pace, Reached
from core.history.read_forecast import FeatureForecast

router = APIRouter(prefix="/api/v1/customers/{customer_id}/usage", tags=["usage"], route_class=FrameRoute)


class ReachedAnswer(Answer):
    """When the limit is reached: as likely as not by `expected`; one in ten by `earliest`; nine in ten by `latest`, at most the reset."""

    expected: datetime
    earliest: datetime
    latest: datetime

    @classmethod
    def of(cls, reached: Reached) -> "ReachedAnswer":
        return cls(**reached._asdict())


class FeatureForecastAnswer(Answer):
    """One feature, in its unit. Null where too little is known, and at the reset where there is none within a year."""

    unit: str
    resets_at: datetime | None
    expected_at_reset: Annotated[Number | None, Field(description="what will have been used; as likely more as less")]
    low: Annotated[Number | None, Field(description="the band of 80 %: in one of ten cases it is less")]
    high: Annotated[Number | None, Field(description="in one of ten cases it is more")]
    limit_reached_at: Annotated[ReachedAnswer | None, Field(description="null: not in this period, as likely as not")]
    chance_of_reaching: Annotated[float | None, Field(description="of reaching the limit before the reset, from 0 to 1")]
    pace: Annotated[Pace | None, Field(description="rising or falling: the band is of the pace so far, and may be left")]
    based_on_days: int
    method: str
    reason: Literal["too_little_history"] | None

    @classmethod
    def of(cls, item: FeatureForecast) -> "FeatureForecastAnswer":
        found, feature = item.forecast, item.balance.feature
        at_reset = found if item.is_at_reset else None
        return cls(
            unit=feature.unit,
            resets_at=item.balance.period.resets_at,
            expected_at_reset=at_reset and number(at_reset.expected, feature),
            low=at_reset and number(at_reset.low, feature),
            high=at_reset and number(at_reset.high, feature),
            limit_reached_at=ReachedAnswer.of(found.reached) if found and found.reached else None,
            chance_of_reaching=found and found.chance,
            pace=found and found.pace,
            based_on_days=item.days,
            method=METHOD,
            reason=None if found else TOO_LITTLE_HISTORY,
        )


class ForecastAnswer(Answer):
    """By feature, of all that the plan meters."""

    features: dict[str, FeatureForecastAnswer]


@router.get("/forecast")
async def usage_forecast(request: Request, caller: CustomerReader) -> ForecastAnswer:
    """Where each feature will stand at the reset, and when its limit will be reached, if the customer goes on as in its past days.

    What is held counts as used, and what grants have left as a part of the limit. The band holds in 8 of 10 cases.
    """
    found = await container_of(request).read_forecast().execute(caller.customer_id)
    return ForecastAnswer(features={key: FeatureForecastAnswer.of(item) for key, item in found.items()})
