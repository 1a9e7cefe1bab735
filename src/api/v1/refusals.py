"""/api/v1/customers/{customer_id}/refusals: what the customer's plan refused, and whom to tell why."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field

from api.dependencies import CustomerReader, container_of
from api.frame.route import FrameRoute
from api.paging import page
from api.wire import Answer, Cursor, Instant, Key, Limit, Page, from_cursor
from core.history.refusals import Refusal, RefusalKind, RefusalQuery

router = APIRouter(prefix="/api/v1/customers/{customer_id}/refusals", tags=["usage"], route_class=FrameRoute)


class RefusalAnswer(Answer):
    """A refusal as it was told: beside its code and its sentence the facts, by name, which differ from code to code."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: UUID
    at: datetime
    request_id: Annotated[str, Field(description="the X-Request-Id of the answer; all items of a batch have the same")]
    operation: Annotated[str, Field(description="what was asked for; `usage_batch`: as an item of a batch", examples=["consume_usage"])]
    kind: Annotated[RefusalKind, Field(description="`asked`: nothing was to be done, somebody asked whether it would be admitted")]
    feature: str | None
    error: Annotated[str, Field(examples=["session_limit_exceeded"])]
    message: str

    @classmethod
    def of(cls, refusal: Refusal) -> "RefusalAnswer":
        told: dict[str, Any] = {
            **refusal.facts,
            "id": refusal.id,
            "at": refusal.at,
            "request_id": refusal.request_id,
            "operation": refusal.operation,
            "kind": refusal.kind,
            "feature": refusal.feature,
            "error": refusal.error,
            "message": refusal.message,
        }
        return cls(**told)


@router.get("")
async def list_refusals(
    request: Request,
    caller: CustomerReader,
    feature: Annotated[Key | None, Query()] = None,
    kind: Annotated[RefusalKind | None, Query(description="`refused` leaves out what was only asked")] = None,
    since: Annotated[Instant | None, Query(description="at this instant or later")] = None,
    until: Annotated[Instant | None, Query(description="before this instant")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RefusalAnswer]:
    """What the customer was refused by its plan in the last 30 days, newest first. It is there within a second of the answer."""
    query = RefusalQuery(
        customer_id=caller.customer_id,
        limit=limit + 1,
        feature=feature,
        kind=kind,
        since=since,
        until=until,
        before=from_cursor(cursor),
    )
    found = await container_of(request).refusals().newest(query)
    return page(found, limit, lambda refusal: (refusal.at, refusal.id)).each(RefusalAnswer.of)
