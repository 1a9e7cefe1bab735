"""/api/v1/customers/{customer_id}/usage/explain: a decision taken to pieces."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from api.dependencies import CustomerReader, container_of
from api.docs import refusals
from api.errors import code_of
from api.frame.route import FrameRoute
from api.v1.bodies import Amounts, PeriodBody, amounts
from api.wire import Answer, Instant, Number, Wire, decimal_number, number
from core.history.explain_usage import ExplainQuery
from core.history.explanation import Booked, Explanation, Held, LimitSource, SourceKind
from core.metering.ledger import UsageRecord
from core.plans.features import Feature

router = APIRouter(prefix="/api/v1/customers/{customer_id}/usage", tags=["usage"], route_class=FrameRoute)


class ExplainBody(Wire):
    """The decision to explain: so much usage, of one or several features together."""

    usage: Amounts
    at: Annotated[Instant | None, Field(description="the decision as it was, or will be, at that instant; null: now")] = None


class LimitSourceAnswer(Answer):
    """A part of what may be used in all."""

    source: SourceKind
    id: Annotated[
        str | None, Field(description="the plan's or add-on's key, the grant's id, or that of the override's entry in the plan history")
    ]
    quantity: Annotated[Number | None, Field(description="null: unlimited")]

    @classmethod
    def of(cls, part: LimitSource) -> "LimitSourceAnswer":
        return cls(source=part.source, id=part.id, quantity=None if part.quantity is None else decimal_number(part.quantity))


class LargeRecordAnswer(Answer):
    """A ledger entry; `corrects` is the id of the one that it corrects."""

    id: str
    quantity: Number
    occurred_at: datetime
    recorded_at: datetime
    reference: str | None
    dimension: str | None
    corrects: str | None
    reason: str | None

    @classmethod
    def of(cls, record: UsageRecord, feature: Feature) -> "LargeRecordAnswer":
        return cls(
            id=str(record.id),
            quantity=number(record.quantity, feature),
            occurred_at=record.occurred_at,
            recorded_at=record.recorded_at,
            reference=record.origin.reference,
            dimension=record.dimension,
            corrects=None if record.corrects is None else str(record.corrects),
            reason=record.reason,
        )


class UsedAnswer(Answer):
    """What was used in the period, by the ledger."""

    quantity: Annotated[Number, Field(description="what all entries add up to")]
    records: Annotated[int, Field(description="how many entries there are, corrections included")]
    corrections: Annotated[int, Field(description="how many of them are corrections")]
    corrected: Annotated[Number, Field(description="what the corrections add up to")]
    largest: Annotated[list[LargeRecordAnswer], Field(description="the entries that moved the sum the most, at most 5")]

    @classmethod
    def of(cls, booked: Booked, feature: Feature) -> "UsedAnswer":
        return cls(
            quantity=number(booked.quantity, feature),
            records=booked.records,
            corrections=booked.corrections,
            corrected=number(booked.corrected, feature),
            largest=[LargeRecordAnswer.of(record, feature) for record in booked.largest],
        )


class HoldingAnswer(Answer):
    """What one reservation sets aside, until when."""

    reservation_id: str
    quantity: Number
    expires_at: datetime
    reference: str | None


class ExplanationAnswer(Answer):
    """One feature: where its limit comes from, what was used, what is held, and a sentence that says so."""

    sentence: Annotated[
        str,
        Field(examples=["30 of 30 sessions are used or set aside: 28 used, 2 held by running operations until 11:05 UTC."]),
    ]
    period: PeriodBody | None
    limit: Annotated[list[LimitSourceAnswer], Field(description="what the limit is the sum of")]
    used: UsedAnswer
    holds: Annotated[int, Field(description="how many reservations hold something")]
    held: Annotated[list[HoldingAnswer], Field(description="the largest of them, at most 50")]

    @classmethod
    def of(cls, found: Explanation) -> "ExplanationAnswer":
        feature, held = found.feature, found.held or Held(0, None, 0, ())
        shown = feature or Feature("", "")
        return cls(
            sentence=found.sentence,
            period=None if found.period is None else PeriodBody.of(found.period),
            limit=[LimitSourceAnswer.of(part) for part in found.limit],
            used=UsedAnswer.of(found.booked or Booked(0, 0, 0, 0, ()), shown),
            holds=held.holds,
            held=[
                HoldingAnswer(
                    reservation_id=str(item.reservation_id),
                    quantity=number(item.quantity, shown),
                    expires_at=item.expires_at,
                    reference=item.reference,
                )
                for item in held.largest
            ],
        )


class ExplainAnswer(Answer):
    """Whether it is, or was, admitted; if not, why (an error code) and by which feature; and each feature taken to pieces."""

    allowed: bool
    reason: str | None
    binding: str | None
    features: dict[str, ExplanationAnswer]


@router.post("/explain", responses=refusals("invalid_quantity", "not_yet_a_customer"))
async def explain_usage(request: Request, body: ExplainBody, caller: CustomerReader) -> ExplainAnswer:
    """Why this would be admitted or refused, now or at an instant. Books nothing.

    Of a past instant it is decided by what was known then. Of a hold that has ended since, all that was asked for counts: what had been
    drawn from it by then is not kept.
    """
    query = ExplainQuery(caller.customer_id, amounts(body.usage), body.at)
    explained = await container_of(request).explain_usage().execute(query)
    refusal = explained.checked.refusal
    return ExplainAnswer(
        allowed=refusal is None,
        reason=refusal and code_of(refusal),
        binding=refusal and refusal.feature,
        features={key: ExplanationAnswer.of(found) for key, found in explained.features.items()},
    )
