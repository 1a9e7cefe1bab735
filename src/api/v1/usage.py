"""/api/v1/customers/{customer_id}/usage: consume, check, and how things stand."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field, TypeAdapter, model_validator
from typing_extensions import TypedDict

from api.dependencies import CustomerReader, CustomerWriter, container_of
from api.docs import refusals
from api.errors import code_of
from api.replies import Reply, reply
from api.v1.customers import PeriodBody
from api.wire import (
    Answer,
    ExactNumber,
    Instant,
    Key,
    Label,
    Number,
    Wire,
    decimal_number,
    mended_short_label,
    mended_texts,
    number,
    percent,
)
from core.metering.account import Account
from core.metering.balance import Amount, Balance
from core.metering.consume_usage import Consumed, ConsumeUsageCommand, Mode
from core.metering.ledger import Breakdown, Origin, bounded
from core.plans.periods import Reset
from core.plans.plan import Boolean, Metered, Static
from core.text import mended_label

router = APIRouter(prefix="/api/v1/customers/{customer_id}/usage", tags=["usage"])

FEATURES_MAX = 20


class AmountBody(Wire):
    """So much of one feature, in its unit."""

    feature: Annotated[Key, Field(examples=["ai_cost"])]
    quantity: Annotated[ExactNumber, Field(examples=[0.02])]
    dimension: Annotated[Label | None, Field(description="what the usage can be broken down by: a model, a region", max_length=64)] = None


Amounts = Annotated[list[AmountBody], Field(min_length=1, max_length=FEATURES_MAX)]


class UsageBody(Wire):
    """Usage to consume, of one or several features: all or none."""

    usage: Amounts
    mode: Annotated[Mode, Field(description="enforce: refused beyond the limit. record: the work is done, and always booked")] = (
        Mode.ENFORCE
    )
    occurred_at: Annotated[Instant | None, Field(description="recorded usage: up to 35 days ago; null: now")] = None
    reference: Annotated[Label | None, Field(description="yours, shown in the ledger")] = None

    @model_validator(mode="before")
    @classmethod
    def _mended(cls, body: Any) -> Any:
        """What is recorded is done: its texts are mended, where those of a request to admit something are refused."""
        if not isinstance(body, dict) or body.get("mode") != Mode.RECORD:
            return body
        body = mended_texts(body, reference=mended_label)
        if isinstance(usage := body.get("usage"), list):
            body["usage"] = [mended_texts(item, dimension=mended_short_label) for item in usage]
        return body


# What every decision is answered with is a TypedDict: made and written in half the time of a model.
class BalanceAnswer(TypedDict):
    """Where a feature stands in the period that contains now, in its unit. Null: unlimited, or never reset."""

    used: Number
    held: Number
    limit: Number | None
    remaining: Number | None
    resets_at: datetime | None


class RecordAnswer(TypedDict):
    """A ledger entry, in short."""

    id: str
    feature: str
    quantity: Number
    occurred_at: datetime


class UsageAnswer(TypedDict):
    """What was booked, and where its features stand after it."""

    records: list[RecordAnswer]
    balances: dict[str, BalanceAnswer]
    over_limit: Annotated[bool, Field(description="whether something of it lies above a limit")]


_USAGE_ANSWER: Final = TypeAdapter(UsageAnswer)


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
    overage: Number
    percent: Annotated[Number | None, Field(description="used of limit, rounded down to a tenth; null: unlimited")]
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
        "customer_not_found",
        "invalid_quantity",
        "invalid_occurred_at",
        "feature_not_metered",
        "idempotency_key_reused",
    ),
)
async def consume_usage(request: Request, body: UsageBody, caller: CustomerWriter) -> Response:
    """Consume one or several features at once: all of them, or none; the refusal names the one that bound."""
    container = container_of(request)
    return await reply(request, container.consume_usage(), to_command(caller.customer_id, body, caller.name), consumed, body)


@router.get("", response_model=StatusAnswer, responses=refusals("customer_not_found"))
async def get_usage(request: Request, caller: CustomerReader, breakdown: bool = False) -> Response:
    """Where every feature of the customer's plan stands, at this moment; with `?breakdown=true` also by dimension."""
    container = container_of(request)
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


@router.post("/check", responses=refusals("customer_not_found", "invalid_quantity"))
async def check_usage(request: Request, body: UsageBody, caller: CustomerReader) -> CheckAnswer:
    """Would this be admitted now? Books nothing, and locks nothing."""
    container = container_of(request)
    checked = await container.check_usage().execute(caller.customer_id, amounts(body.usage), body.mode)
    refusal = checked.refusal
    return CheckAnswer(
        allowed=refusal is None,
        reason=refusal and code_of(refusal),
        binding=refusal and refusal.feature,
        balances=balances(checked.balances),
    )


def amounts(bodies: Sequence[AmountBody]) -> list[Amount]:
    """What a caller asks for, as the domain knows it."""
    return [Amount(body.feature, body.quantity, body.dimension) for body in bodies]


def to_balance(balance: Balance) -> BalanceAnswer:
    """In the feature's unit."""
    feature, remaining = balance.feature, balance.remaining
    return BalanceAnswer(
        used=number(balance.used, feature),
        held=number(balance.held, feature),
        limit=None if balance.limit is None else number(balance.limit, feature),
        remaining=None if remaining is None else number(remaining, feature),
        resets_at=balance.period.resets_at,
    )


def balances(found: Mapping[str, Balance]) -> dict[str, BalanceAnswer]:
    """By feature."""
    return {key: to_balance(balance) for key, balance in found.items()}


def to_command(customer_id: str, body: UsageBody, recorded_by: str) -> ConsumeUsageCommand:
    """A request to consume, as the domain knows it."""
    origin = Origin("api", recorded_by, body.reference)
    return ConsumeUsageCommand(
        customer_id=customer_id, amounts=amounts(body.usage), origin=origin, mode=body.mode, occurred_at=body.occurred_at
    )


def consumed(result: Consumed) -> Reply:
    """What a caller gets for usage that was booked."""
    records = [
        RecordAnswer(
            id=str(record.id),
            feature=record.feature,
            quantity=number(record.quantity, result.balances[record.feature].feature),
            occurred_at=record.occurred_at,
        )
        for record in result.records
    ]
    return written(UsageAnswer(records=records, balances=balances(result.balances), over_limit=result.over_limit))


def written(answer: UsageAnswer) -> Reply:
    """As JSON."""
    return Reply(200, _USAGE_ANSWER.dump_json(answer))


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


def display(balance: Balance) -> str:
    """What is left of how much: `29/30`."""
    remaining, units = balance.remaining, balance.feature.units
    return "unlimited" if balance.limit is None or remaining is None else f"{units(remaining):f}/{units(balance.limit):f}"
