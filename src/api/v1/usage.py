"""/api/v1/customers/{customer_id}/usage: consume, check, and how things stand."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field

from api.dependencies import CustomerReader, CustomerWriter, container_of
from api.docs import refusals
from api.errors import code_of
from api.frame.commands import carried_out
from api.frame.refused import note
from api.frame.route import FrameRoute
from api.replies import Reply
from api.v1.bodies import BalanceAnswer, PeriodBody, UsageAnswer, UsageBody, amounts, balances, consumed, display, to_balance, to_command
from api.wire import Answer, Instant, Number, decimal_number, number, percent
from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.consume_usage import ConsumeUsageCommand
from core.metering.ledger import Breakdown, bounded
from core.plans.periods import Reset
from core.plans.plan import Boolean, Metered, Static

router = APIRouter(prefix="/api/v1/customers/{customer_id}/usage", tags=["usage"], route_class=FrameRoute)


class CheckAnswer(Answer):
    """Whether it would be admitted; if not, why (an error code) and by which feature."""

    allowed: bool
    reason: str | None
    binding: str | None
    balances: dict[str, BalanceAnswer]


class ShareAnswer(Answer):
    """What one dimension contributes; null is usage without one. Beyond 100, the smallest are added up as `other`."""

    dimension: str | None
    used: Number


class FeatureStatus(Answer):
    """A metered feature in the period that contains now."""

    type: str = "metered"
    unit: str
    used: Number
    held: Number
    limit: Number | None
    remaining: Number | None
    allowance: Annotated[Number | None, Field(description="what the plan, an override and add-ons give; null: unlimited")]
    granted: Annotated[Number, Field(description="what active grants have left")]
    overage: Number
    percent: Annotated[Number | None, Field(description="how much of the limit is used, rounded down to a tenth; null: unlimited")]
    display: Annotated[str, Field(description="remaining/limit", examples=["29/30"])]
    resets_at: datetime | None
    breakdown: Annotated[list[ShareAnswer] | None, Field(description="by dimension, largest first; asked for by ?breakdown=true")] = None


class StaticStatus(Answer):
    """A number that the plan grants."""

    type: str = "static"
    value: Number
    display: str


class BooleanStatus(Answer):
    """A capability that the plan turns on or off."""

    type: str = "boolean"
    enabled: bool
    display: str


class StatusAnswer(Answer):
    """A customer's plan and where each of its features stands."""

    customer_id: str
    plan: str
    plan_version: int
    period: PeriodBody
    features: dict[str, FeatureStatus | StaticStatus | BooleanStatus]


@router.post(
    "",
    response_model=UsageAnswer,
    responses=refusals(
        "usage_limit_exceeded",
        "budget_exceeded",
        "conversation_quota_exceeded",
        "feature_not_in_plan",
        "invalid_quantity",
        "invalid_occurred_at",
        "feature_not_metered",
    ),
)
@carried_out(by=lambda container: container.consume_usage(), answered=consumed)
def consume_usage(body: UsageBody, caller: CustomerWriter) -> ConsumeUsageCommand:
    """Consume one or several features at once: all of them, or none; the refusal names the one that bound."""
    return to_command(caller.customer_id, body, caller.name)


At = Annotated[Instant | None, Query(description="as it stood, or will stand, at that instant: what had occurred by then")]
KnownAt = Annotated[Instant | None, Query(description="with `at`: leaves out what was recorded later")]


@router.get("", response_model=StatusAnswer, responses=refusals("not_yet_a_customer"))
async def get_usage(request: Request, caller: CustomerReader, breakdown: bool = False, at: At = None, known_at: KnownAt = None) -> Response:
    """Where every feature of the customer's plan stands, at this moment; with `?breakdown=true` also by dimension.

    With `?at=` as of another instant: under the plan, the calendar and the add-ons in force then, by when usage occurred. What was set
    aside then is not kept, and counts as nothing.
    """
    container = container_of(request)
    if at is not None:
        if breakdown:
            raise _mistaken("breakdown", "as of now only: leave out either breakdown or at")
        account = await container.past_accounts().read(caller.customer_id, at, known_at)
    elif known_at is not None:
        raise _mistaken("known_at", "expected together with at")
    else:
        account = await container.account_reader().read(caller.customer_id, None, container.clock()())
    breakdowns: Mapping[str, Breakdown] = {}
    if breakdown:
        periods = {key: account.balance(key).period for key, item in account.plan.entitlements.items() if isinstance(item, Metered)}
        breakdowns = await container.ledger_reader().breakdown(caller.customer_id, periods, account.now)
    answer = StatusAnswer(
        customer_id=account.customer_id,
        plan=account.plan.key,
        plan_version=account.plan.version,
        period=PeriodBody.of(account.billing.period(Reset.BILLING_PERIOD, account.now)),
        features={key: _status(key, account, breakdowns.get(key)) for key in account.plan.entitlements},
    )
    return Reply.of(answer).response()


@router.post("/check", responses=refusals("invalid_quantity"))
async def check_usage(request: Request, body: UsageBody, caller: CustomerReader) -> CheckAnswer:
    """Would this be admitted now? Books nothing, and locks nothing."""
    container = container_of(request)
    checked = await container.check_usage().execute(caller.customer_id, amounts(body.usage), body.mode)
    refusal = checked.refusal
    if refusal is not None:
        note(request, caller.customer_id, "check_usage", refusal, asked=True)
    return CheckAnswer(
        allowed=refusal is None,
        reason=refusal and code_of(refusal),
        binding=refusal and refusal.feature,
        balances=balances(checked.balances),
    )


def _mistaken(parameter: str, expected: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("query", parameter), "msg": expected}])


def _status(key: str, account: Account, breakdown: Breakdown | None) -> FeatureStatus | StaticStatus | BooleanStatus:
    match account.plan.entitlements[key]:
        case Metered():
            balance = account.balance(key)
            # With a breakdown, the totals are the ledger's too: they agree with the shares while usage is being booked.
            return _metered(balance.seen(breakdown) if breakdown else balance, breakdown)
        case Static(value):
            return StaticStatus(value=decimal_number(value), display=f"{value:f}")
        case Boolean(enabled):
            return BooleanStatus(enabled=enabled, display="on" if enabled else "off")


def _metered(balance: Balance, breakdown: Breakdown | None) -> FeatureStatus:
    feature = balance.feature
    shares = breakdown and bounded(breakdown.shares)
    return FeatureStatus(
        **to_balance(balance),
        unit=feature.unit,
        overage=number(balance.overage, feature),
        percent=None if balance.limit is None else percent(balance.used, balance.limit),
        display=display(balance),
        breakdown=shares and [ShareAnswer(dimension=item.dimension, used=number(item.quantity, feature)) for item in shares],
    )
