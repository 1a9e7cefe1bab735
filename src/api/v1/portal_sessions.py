"""/api/v1/customers/{customer_id}/portal-sessions: addresses of a customer's own usage page, to link to or to embed."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request
from pydantic import Field

from api.dependencies import CustomerWriter, container_of
from api.docs import refusals
from api.frame.route import FrameRoute
from api.replies import Reply, fingerprint, idempotency_key, understood
from api.settings import Origin
from api.wire import Answer, LanguageTag, Wire, identified
from core.portal.portal_session import (
    ORIGINS_MAX,
    TTL_DEFAULT,
    TTL_MAX,
    TTL_MIN,
    NewPortalSession,
    PortalSessionNotFound,
    PortalSessionNotShownAgain,
    Theme,
)

router = APIRouter(prefix="/api/v1/customers/{customer_id}/portal-sessions", tags=["portal"], route_class=FrameRoute)

PortalSessionId = Annotated[UUID, Path(description="a portal session's id"), identified(PortalSessionNotFound)]


class NewPortalSessionBody(Wire):
    """How long the address works, and how the page looks."""

    ttl_seconds: Annotated[
        int, Field(ge=int(TTL_MIN.total_seconds()), le=int(TTL_MAX.total_seconds()), strict=True, description="how long the address works")
    ] = int(TTL_DEFAULT.total_seconds())
    locale: Annotated[
        LanguageTag | None,
        Field(description="a language tag; null: the customer's, or what the browser asks for", examples=["de"]),
    ] = None
    theme: Theme = Theme.AUTO
    embed_origins: Annotated[
        tuple[Origin, ...],
        Field(max_length=ORIGINS_MAX, description="the only sites that may frame the page", examples=[["https://app.example.com"]]),
    ] = ()


class PortalSessionAnswer(Answer):
    """An address of the page. Whoever has it sees the customer's usage until it ends."""

    id: UUID
    url: Annotated[str, Field(description="it is shown this once")]
    expires_at: datetime


@router.post(
    "",
    status_code=201,
    response_model=PortalSessionAnswer,
    responses=refusals("portal_session_not_shown_again"),
)
async def create_portal_session(request: Request, body: NewPortalSessionBody, caller: CustomerWriter) -> Reply:
    """Make an address of the customer's usage page: short-lived, revocable, and of this customer alone."""
    container = container_of(request)
    wanted = NewPortalSession(
        customer_id=caller.customer_id,
        created_by=caller.name,
        ttl=timedelta(seconds=body.ttl_seconds),
        locale=body.locale,
        theme=body.theme,
        embed_origins=body.embed_origins,
    )
    key = idempotency_key(request)
    if key is not None and not await container.answer_once().claim(caller.identity, key, fingerprint(request, understood(body))):
        raise PortalSessionNotShownAgain
    session, token = await container.begin_portal_session().execute(wanted)
    url = f"{container.settings().public_url}/portal/{token}"
    return Reply.of(PortalSessionAnswer(id=session.id, url=url, expires_at=session.expires_at), 201)


@router.delete("/{id}", status_code=204, responses=refusals("portal_session_not_found"))
async def end_portal_session(request: Request, id: PortalSessionId, caller: CustomerWriter) -> None:
    """End a portal session: its address opens nothing from now on. Again: the same."""
    container = container_of(request)
    await container.portal_sessions().end(caller.customer_id, id, container.clock()())
