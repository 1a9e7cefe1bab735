"""/api/v1/events/catalogue: what may leave the service."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from pydantic import Field

from api.dependencies import reader
from api.frame.route import FrameRoute
from api.wire import Answer
from core.events.catalogue import CATALOGUE

router = APIRouter(prefix="/api/v1/events", tags=["events"], route_class=FrameRoute)

_RAISED_AT: Final = "2026-11-20T09:05:00Z"


class DescribedAnswer(Answer):
    """A type of event. `example` is what a receiver gets of one."""

    type: Annotated[str, Field(examples=["usage.threshold_reached"])]
    description: str
    example: dict[str, Any]


class CatalogueAnswer(Answer):
    """All types of events."""

    items: list[DescribedAnswer]


@router.get("/catalogue", dependencies=[Depends(reader)])
async def event_catalogue() -> CatalogueAnswer:
    """Every type of event: when it is raised, and an example of it."""
    items = [
        DescribedAnswer(
            type=known.type,
            description=known.description,
            example={"type": known.type, "timestamp": _RAISED_AT, "data": dict(known.example)},
        )
        for known in CATALOGUE
    ]
    return CatalogueAnswer(items=items)
