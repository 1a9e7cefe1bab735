"""/api/v1/customers/{customer_id}/grants: quantity on top of the allowance, sold or given away."""

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from api.dependencies import CustomerAdmin, CustomerReader, container_of
from api.docs import refusals
from api.frame.commands import carried_out
from api.frame.route import FrameRoute
from api.paging import page
from api.replies import Reply
from api.v1.bodies import PROSE_BYTES_MAX, BalanceAnswer, PeriodBody, to_balance
from api.wire import Answer, Cursor, ExactNumber, Instant, Key, Label, Limit, Number, Page, Prose, Wire, from_cursor, identified, number
from core.metering.grants import (
    PRIORITY_DEFAULT,
    PRIORITY_MAX,
    EntryKind,
    GrantEntry,
    GrantKey,
    GrantKind,
    GrantNotFound,
    GrantState,
    StandingGrant,
)
from core.metering.issue_grant import Granted, IssueGrantCommand
from core.metering.void_grant import VoidGrantCommand
from core.plans.features import Feature, FeatureCatalog

router = APIRouter(prefix="/api/v1/customers/{customer_id}/grants", tags=["grants"], route_class=FrameRoute)

GrantId = Annotated[UUID, Path(description="the grant's id"), identified(GrantNotFound)]


class GrantBody(Wire):
    """So much of one metered feature, in its unit, on top of the allowance."""

    feature: Annotated[Key, Field(examples=["sessions"])]
    quantity: Annotated[ExactNumber, Field(examples=[500])]
    kind: Literal["paid", "promotional"]
    priority: Annotated[int, Field(ge=1, le=PRIORITY_MAX, strict=True, description="lower burns first; the allowance has 100")] = (
        PRIORITY_DEFAULT
    )
    effective_at: Annotated[Instant | None, Field(description="up to 35 days back, or ahead; null: now")] = None
    expires_at: Annotated[Instant | None, Field(description="null: never")] = None
    reference: Annotated[Label | None, Field(description="your own name of it: the same one again is the same grant")] = None
    reason: Label | None = None


class VoidBody(Wire):
    """Why what is left of a grant is taken back."""

    reason: Annotated[Prose, Field(min_length=1, examples=["payment failed"])]


class GrantAnswer(Answer):
    """A grant. `quantity` is `used`, `remaining`, and what expired, was voided or trimmed of it."""

    id: UUID
    feature: str
    kind: GrantKind
    quantity: Number
    used: Number
    remaining: Annotated[Number, Field(description="what may still be used of it; 0 once it has ended")]
    state: GrantState
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    reference: str | None
    reason: str | None
    created_at: datetime
    created_by: str | None
    voided_at: datetime | None
    voided_by: str | None
    void_reason: str | None

    @classmethod
    def of(cls, standing: StandingGrant, feature: Feature, at: datetime) -> "GrantAnswer":
        grant, burnt, left = standing
        state = grant.state_at(at, left)
        usable = state in (GrantState.SCHEDULED, GrantState.ACTIVE)
        return cls(
            id=grant.id,
            feature=grant.feature,
            kind=grant.kind,
            quantity=number(grant.quantity, feature),
            used=number(burnt, feature),
            remaining=number(left, feature) if usable else 0,
            state=state,
            priority=grant.priority,
            effective_at=grant.effective_at,
            expires_at=grant.expires_at,
            reference=grant.reference,
            reason=grant.reason,
            created_at=grant.created_at,
            created_by=grant.created_by,
            voided_at=grant.voided_at,
            voided_by=grant.voided_by,
            void_reason=grant.void_reason,
        )


class GrantedAnswer(GrantAnswer):
    """A grant, and where its feature stands."""

    balance: BalanceAnswer


class EntryAnswer(Answer):
    """What happened to a grant: usage burnt it or gave back, the cap of a rollover trimmed it, a rollover grew or shrank."""

    id: UUID
    kind: EntryKind
    quantity: Number
    occurred_at: datetime
    period: PeriodBody
    record_id: Annotated[UUID | None, Field(description="the usage record that brought it about; null: the clock or a grant did")]
    recorded_at: datetime

    @classmethod
    def of(cls, entry: GrantEntry, feature: Feature) -> "EntryAnswer":
        return cls(
            id=entry.id,
            kind=entry.kind,
            quantity=number(entry.quantity, feature),
            occurred_at=entry.occurred_at,
            period=PeriodBody.of(entry.period),
            record_id=entry.record_id,
            recorded_at=entry.recorded_at,
        )


class DetailedGrant(GrantAnswer):
    """A grant with its entries, newest first."""

    entries: list[EntryAnswer]
    next_cursor: Annotated[str | None, Field(description="pass it as ?cursor= to get the entries that follow; null on the last page")]


def _granted(result: Granted) -> Reply:
    grant, balance = result.standing.grant, result.balance
    answer = GrantAnswer.of(result.standing, balance.feature, result.at)
    where = f"/api/v1/customers/{quote(grant.customer_id, safe='')}/grants/{grant.id}"
    told = GrantedAnswer(**dict(answer), balance=to_balance(balance))
    return Reply.of(told, 201, location=where) if result.is_new else Reply.of(told, 200)


@router.post(
    "",
    max_body_size=PROSE_BYTES_MAX,
    response_model=GrantedAnswer,
    status_code=201,
    responses={
        200: {"model": GrantedAnswer, "description": "The grant was there already, under its reference."},
        **refusals("feature_not_in_plan", "feature_not_metered", "invalid_quantity", "invalid_grant", "grant_reference_taken"),
    },
)
@carried_out(by=lambda container: container.issue_grant(), answered=_granted)
def issue_grant(body: GrantBody, caller: CustomerAdmin) -> IssueGrantCommand:
    """Put a grant on top of the customer's allowance. It first covers this period's usage that nothing covered."""
    return IssueGrantCommand(
        customer_id=caller.customer_id,
        feature=body.feature,
        quantity=body.quantity,
        kind=GrantKind(body.kind),
        priority=body.priority,
        effective_at=body.effective_at,
        expires_at=body.expires_at,
        reference=body.reference,
        reason=body.reason,
        created_by=caller.name,
    )


@router.get("")
async def list_grants(
    request: Request,
    caller: CustomerReader,
    feature: Annotated[Key | None, Query()] = None,
    state: Annotated[GrantState | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[GrantAnswer]:
    """The customer's grants, newest first: those that were issued, and what rolled over."""
    container = container_of(request)
    now = container.clock()()
    found = await container.grant_reader().newest(caller.customer_id, limit + 1, from_cursor(cursor), feature=feature, state=state, at=now)
    features = await container.plan_reader().features()
    return page(found, limit, lambda item: (item.grant.created_at, item.grant.id)).each(lambda item: _listed(item, features, now))


@router.get("/{grant_id}", responses=refusals("grant_not_found"))
async def get_grant(request: Request, grant_id: GrantId, caller: CustomerReader, limit: Limit = 50, cursor: Cursor = None) -> DetailedGrant:
    """A grant, and its entries: which usage it paid for."""
    container = container_of(request)
    key = GrantKey(caller.customer_id, grant_id)
    standing = await container.grant_reader().get(key)
    features = await container.plan_reader().features()
    entries = await container.grant_reader().entries(key, limit + 1, from_cursor(cursor))
    shown = page(entries, limit, lambda entry: (entry.occurred_at, entry.id))
    answer = _listed(standing, features, container.clock()())
    feature = _known(features, standing.grant.feature)
    return DetailedGrant(**dict(answer), entries=[EntryAnswer.of(entry, feature) for entry in shown.items], next_cursor=shown.next_cursor)


@router.post(
    "/{grant_id}/void",
    max_body_size=PROSE_BYTES_MAX,
    response_model=GrantedAnswer,
    responses=refusals("grant_not_found", "grant_not_active"),
)
@carried_out(by=lambda container: container.void_grant(), answered=_granted)
def void_grant(grant_id: GrantId, body: VoidBody, caller: CustomerAdmin) -> VoidGrantCommand:
    """Take back what is left of a grant, now. What was burnt stays burnt. Voiding it again changes nothing."""
    return VoidGrantCommand(caller.customer_id, grant_id, body.reason, caller.name)


def _listed(standing: StandingGrant, features: FeatureCatalog, at: datetime) -> GrantAnswer:
    feature = _known(features, standing.grant.feature)
    return GrantAnswer.of(standing, feature, at)


def _known(features: FeatureCatalog, key: str) -> Feature:
    feature = features.get(key)
    assert feature is not None, "something of it was granted"
    return feature
