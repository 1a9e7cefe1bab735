"""Bodies that several rooms of the API have in common. Rooms know this file, and not each other."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, NotRequired

from pydantic import Field, TypeAdapter, model_validator
from typing_extensions import TypedDict

from api.replies import Reply
from api.wire import (
    Answer,
    ExactNumber,
    FinishedDetail,
    Id,
    Instant,
    Key,
    Label,
    Number,
    Wire,
    mended_short_label,
    mended_texts,
    number,
)
from core.errors import Overloaded, StorageUnavailable
from core.metering.balance import Amount, Balance
from core.metering.consume_usage import Consumed, ConsumeUsageCommand, Mode
from core.metering.ledger import Origin
from core.plans.features import Feature
from core.plans.periods import Period
from core.text import mended_label

FEATURES_MAX: Final = 20
"""How many features one request may name."""

ITEMS_MAX: Final = 1_000
"""The most decisions, or events, that one request may bring."""

BULK_BYTES_MAX: Final = 8 * 1024 * 1024
"""The most that such a request may be."""

PASSING: Final = (StorageUnavailable, Overloaded)
"""What may be over when the request is repeated."""

RUNS_MAX: Final = 1_000_000_000
"""How many AI runs one request may name."""

PROSE_BYTES_MAX: Final = 1024 * 1024
"""What a route takes that takes prose: 10,000 characters may be 120,000 bytes of JSON, and finished work says more than that and is cut."""

OwnId = Annotated[Id | None, Field(description="your own id, under which it can be sent again; null: one is made")]


class PeriodBody(Answer):
    """Half-open: start <= t < end. Null: open on that side."""

    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, period: Period) -> "PeriodBody":
        return cls(start=period.starts_at, end=period.resets_at)


class AmountBody(Wire):
    """An amount of one feature, in its unit."""

    feature: Annotated[Key, Field(examples=["ai_cost"])]
    quantity: Annotated[ExactNumber, Field(examples=[0.02])]
    dimension: Annotated[Label | None, Field(description="what the usage can be broken down by: a model, a region", max_length=64)] = None


class FinishedAmountBody(AmountBody):
    """An amount of one feature that was used."""

    dimension: Annotated[FinishedDetail, Field(description="what the usage can be broken down by: a model, a region")] = None


Amounts = Annotated[list[AmountBody], Field(min_length=1, max_length=FEATURES_MAX)]


class UsageBody(Wire):
    """Usage to consume, of one or several features: all or none."""

    usage: Amounts
    mode: Annotated[Mode, Field(description="enforce: refused beyond the limit. record: the work is done, and always booked")] = (
        Mode.ENFORCE
    )
    occurred_at: Annotated[Instant | None, Field(description="recorded usage: up to 35 days ago; null: now")] = None
    reference: Annotated[Label | None, Field(description="your own reference, shown in the ledger")] = None

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
    """Where a feature stands in the period that contains now, in its unit. Null: unlimited, or never reset.

    `limit` is what may be used in all: the `allowance` (of the plan, an override and add-ons) and what grants add to it, of which they
    have `granted` left.
    """

    used: Number
    held: Number
    limit: Number | None
    remaining: Number | None
    allowance: Number | None
    granted: Number
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
    degraded: NotRequired[
        Annotated[
            bool, Field(description="true: admitted by the last known balance while the database is away, and booked when it is back")
        ]
    ]


_USAGE_ANSWER: Final = TypeAdapter(UsageAnswer)


def amounts(bodies: Sequence[AmountBody]) -> list[Amount]:
    """What a caller asks for, as the domain knows it."""
    return [Amount(body.feature, body.quantity, body.dimension) for body in bodies]


def to_balance(balance: Balance) -> BalanceAnswer:
    """In the feature's unit."""
    feature, remaining = balance.feature, balance.remaining
    limit = decimal_or_none(balance.limit, feature)
    alone = balance.funds is None
    return BalanceAnswer(
        used=number(balance.used, feature),
        held=number(balance.held, feature),
        limit=limit,
        remaining=decimal_or_none(remaining, feature),
        allowance=limit if alone else decimal_or_none(balance.allowance, feature),
        granted=0 if alone else number(balance.granted, feature),
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
    answer = UsageAnswer(records=records, balances=balances(result.balances), over_limit=result.over_limit)
    if result.degraded:
        answer["degraded"] = True
    return written(answer)


def written(answer: UsageAnswer) -> Reply:
    """As JSON."""
    return Reply(200, _USAGE_ANSWER.serializer.to_json(answer))


def decimal_or_none(parts: int | None, feature: Feature) -> Number | None:
    """Smallest parts in the feature's unit; None stays None: unlimited."""
    return None if parts is None else number(parts, feature)


def display(balance: Balance) -> str:
    """What is left of how much: `29/30`."""
    remaining, units = balance.remaining, balance.feature.units
    return "unlimited" if balance.limit is None or remaining is None else f"{units(remaining):f}/{units(balance.limit):f}"
