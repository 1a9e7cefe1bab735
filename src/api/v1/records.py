"""/api/v1/customers/{customer_id}/usage/records: the ledger, and its corrections."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from api.dependencies import CustomerAdmin, CustomerReader, container_of
from api.docs import refusals
from api.frame.commands import carried_out
from api.frame.route import FrameRoute
from api.paging import page
from api.replies import Reply
from api.v1.bodies import PROSE_BYTES_MAX, BalanceAnswer, to_balance
from api.wire import (
    Answer,
    Cursor,
    ExactNumber,
    Instant,
    Key,
    Label,
    Limit,
    Number,
    Page,
    Prose,
    Wire,
    from_cursor,
    identified,
    number,
)
from core.metering.correct_record import Corrected, CorrectRecordCommand
from core.metering.ledger import LedgerQuery, RecordNotFound, UsageRecord
from core.plans.features import Feature

router = APIRouter(prefix="/api/v1/customers/{customer_id}/usage/records", tags=["usage"], route_class=FrameRoute)


class LedgerEntry(Answer):
    """A ledger entry: what was used, when, and who recorded it. `overage` is the part above the limit when it was booked."""

    id: UUID
    feature: str
    quantity: Number
    occurred_at: datetime
    recorded_at: datetime
    source: str
    reference: str | None
    recorded_by: str | None
    overage: Number
    corrects: UUID | None
    reason: str | None
    event_id: str | None
    dimension: str | None

    @classmethod
    def of(cls, record: UsageRecord, feature: Feature) -> "LedgerEntry":
        return cls(
            id=record.id,
            feature=record.feature,
            quantity=number(record.quantity, feature),
            occurred_at=record.occurred_at,
            recorded_at=record.recorded_at,
            source=record.origin.source,
            reference=record.origin.reference,
            recorded_by=record.origin.recorded_by,
            overage=number(record.overage, feature),
            corrects=record.corrects,
            reason=record.reason,
            event_id=record.event_id,
            dimension=record.dimension,
        )


class CorrectionBody(Wire):
    """What is added to the record, and why."""

    quantity: Annotated[ExactNumber, Field(examples=[-1])]
    reason: Annotated[Prose, Field(min_length=1, examples=["refund"])]


class CorrectionAnswer(LedgerEntry):
    """The compensating entry, and where the feature stands."""

    balance: BalanceAnswer
    lapsed: Annotated[Number, Field(description="what flowed back to grants that have ended meanwhile, and so is gone")]


def _corrected(result: Corrected) -> Reply:
    feature = result.balance.feature
    entry = LedgerEntry.of(result.record, feature)
    lapsed = number(result.lapsed, feature)
    return Reply.of(CorrectionAnswer(**dict(entry), balance=to_balance(result.balance), lapsed=lapsed), 201)


@router.get("")
async def list_records(
    request: Request,
    caller: CustomerReader,
    feature: Annotated[Key | None, Query()] = None,
    dimension: Annotated[Label | None, Query()] = None,
    reference: Annotated[
        Label | None, Query(description="what was booked for this order, session or other thing, and its corrections")
    ] = None,
    since: Annotated[Instant | None, Query(description="occurred at this instant or later")] = None,
    until: Annotated[Instant | None, Query(description="occurred before this instant")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[LedgerEntry]:
    """The ledger, newest first by when the usage occurred. Entries that arrive while you page neither repeat nor hide others."""
    container = container_of(request)
    query = LedgerQuery(
        customer_id=caller.customer_id,
        limit=limit + 1,
        feature=feature,
        dimension=dimension,
        reference=reference,
        since=since,
        until=until,
        before=from_cursor(cursor),
    )
    records = await container.ledger_reader().newest(query)
    shown = page(records, limit, lambda record: (record.occurred_at, record.id))
    catalog = await container.plan_reader().features()
    entries = [LedgerEntry.of(record, declared) for record in shown.items if (declared := catalog.get(record.feature))]
    return Page(items=entries, next_cursor=shown.next_cursor)


@router.post(
    "/{record_id}/corrections",
    max_body_size=PROSE_BYTES_MAX,
    status_code=201,
    response_model=CorrectionAnswer,
    responses=refusals("record_not_found", "invalid_quantity", "feature_not_metered"),
)
@carried_out(by=lambda container: container.correct_record(), answered=_corrected)
def correct_record(
    record_id: Annotated[UUID, Path(), identified(RecordNotFound)],
    body: CorrectionBody,
    caller: CustomerAdmin,
) -> CorrectRecordCommand:
    """Book a compensating record with a reason, in the period of the record that it corrects."""
    return CorrectRecordCommand(
        customer_id=caller.customer_id, record_id=record_id, quantity=body.quantity, reason=body.reason, recorded_by=caller.name
    )
