"""/api/v1/events: what other systems report, as CloudEvents."""

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple, NotRequired

from fastapi import APIRouter, Request, Response
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from api.container import Container
from api.dependencies import ServiceWriter, container_of
from api.docs import refusals
from api.errors import told
from api.frame.route import FrameRoute
from api.replies import REPLAYED, fingerprint, idempotency_key
from api.v1.bodies import BULK_BYTES_MAX, ITEMS_MAX, PASSING
from api.wire import Answer, CustomerId, ExactNumber, FinishedDetail, Id, Instant, Key, spelled
from core.errors import DomainError
from core.metering.balance import Amount
from core.metering.ingest_events import IngestEventCommand
from core.metering.use_case import Call
from core.text import is_label

router = APIRouter(prefix="/api/v1", tags=["bulk"], route_class=FrameRoute)

READ_AT_ONCE: Final = 100
"""After so many events the other requests get their turn."""

ONE_EVENT: Final = "application/cloudevents+json"
MANY_EVENTS: Final = "application/cloudevents-batch+json"
ONE: Final = Decimal(1)


# An event is a TypedDict: read in two thirds of the time of a model.
class EventData(TypedDict):
    """How much was used; 1 where nothing is said."""

    quantity: NotRequired[ExactNumber]
    dimension: NotRequired[FinishedDetail]


class Event(TypedDict):
    """A CloudEvent 1.0. Other attributes, and extensions, may be there; they are not looked at."""

    specversion: Annotated[str, Field(pattern=r"^1\.0$")]
    id: Id
    source: Id
    type: Annotated[Key, Field(description="the feature")]
    subject: Annotated[CustomerId, Field(description="the customer's id")]
    time: NotRequired[Instant | None]
    data: NotRequired[EventData | None]


_EVENT: Final = TypeAdapter(Event)


class Rejected(Answer):
    """An event that was not booked, and why."""

    index: int
    id: str | None
    error: str
    message: str


class EventsAnswer(Answer):
    """How many events were booked or known already, and which ones were rejected."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class ReadEvents(NamedTuple):
    """Valid events as commands, their indexes, and the rejected ones."""

    commands: list[IngestEventCommand]
    indexes: list[int]
    rejected: list[Rejected]

    def understood(self) -> Iterator[str]:
        """What each of them says, whoever sent it and however it was spelled."""
        for index, command in zip(self.indexes, self.commands, strict=True):
            said = command._replace(recorded_by="")
            yield json.dumps((index, said), default=lambda value: spelled(value) if isinstance(value, Decimal) else str(value))
        yield from (rejected.model_dump_json() for rejected in self.rejected)


@router.post(
    "/events",
    max_body_size=BULK_BYTES_MAX,
    response_model=EventsAnswer,
    responses=refusals("unsupported_media_type"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                ONE_EVENT: {"schema": {"$ref": "#/components/schemas/Event"}},
                MANY_EVENTS: {"schema": {"type": "array", "maxItems": ITEMS_MAX, "items": {"$ref": "#/components/schemas/Event"}}},
            },
        }
    },
)
async def ingest_events(request: Request, who: ServiceWriter) -> Response:
    """Book CloudEvents 1.0, each (source, id) once for ever. Valid events are booked even where others are rejected."""
    container = container_of(request)
    key = idempotency_key(request)
    events = await read_events(await _events(request), who.name)

    async def answer() -> bytes:
        return (await _ingest(events, container)).model_dump_json().encode()

    if key is None:
        return Response(await answer(), media_type="application/json")
    content, replayed = await container.answer_once().execute(who.name, key, fingerprint(request, *events.understood()), answer)
    return Response(content, headers={REPLAYED: "true"} if replayed else None, media_type="application/json")


async def _ingest(events: ReadEvents, container: Container) -> EventsAnswer:
    rejected = list(events.rejected)
    outcomes = await container.ingest_events().execute([Call(command) for command in events.commands]) if events.commands else ()
    for index, command, outcome in zip(events.indexes, events.commands, outcomes, strict=True):
        if isinstance(outcome, DomainError):
            if isinstance(outcome, PASSING):
                # This says nothing about the event: the request is to be sent again, and what was booked by now counts as a duplicate then.
                raise outcome
            detail = told(outcome).detail
            rejected.append(Rejected(index=index, id=command.event_id, error=detail["error"], message=detail["message"]))
    booked = sum(outcome is True for outcome in outcomes)
    known = sum(outcome is False for outcome in outcomes)
    return EventsAnswer(accepted=booked, duplicates=known, rejected=sorted(rejected, key=lambda item: item.index))


async def read_events(found: list[Any], recorded_by: str) -> ReadEvents:
    """Other requests get their turn in between."""
    commands: list[IngestEventCommand] = []
    indexes: list[int] = []
    rejected: list[Rejected] = []
    for index, item in enumerate(found):
        if index and index % READ_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            event = _EVENT.validate_python(item)
        except ValidationError as error:
            rejected.append(_invalid(index, item, error))
        else:
            commands.append(_to_event(event, recorded_by))
            indexes.append(index)
    return ReadEvents(commands, indexes, rejected)


async def _events(request: Request) -> list[Any]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (ONE_EVENT, MANY_EVENTS):
        raise HTTPException(415, f"{ONE_EVENT} or {MANY_EVENTS} is expected.")
    try:
        content = _read(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"The body cannot be read as JSON: {error}.") from error
    if content_type == ONE_EVENT:
        return [content]
    if not isinstance(content, list) or not 1 <= len(content) <= ITEMS_MAX:
        raise HTTPException(422, f"An array of 1 to {ITEMS_MAX} events is expected.")
    return content


def _read(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        # What only one of the events is to blame for (half of a surrogate pair, NaN) is no reason to refuse the others.
        return json.loads(body.decode())


def _to_event(event: Event, recorded_by: str) -> IngestEventCommand:
    data = event.get("data") or EventData()
    amount = Amount(event["type"], data.get("quantity", ONE), data.get("dimension"))
    return IngestEventCommand(
        customer_id=event["subject"],
        amount=amount,
        source=event["source"],
        event_id=event["id"],
        recorded_by=recorded_by,
        occurred_at=event.get("time"),
    )


def schemas() -> dict[str, Any]:
    """The schemas of events for the OpenAPI document, by name."""
    event = _EVENT.json_schema(ref_template="#/components/schemas/{model}")
    return {**event.pop("$defs"), "Event": event}


def _invalid(index: int, item: object, error: ValidationError) -> Rejected:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "event"
    id = item.get("id") if isinstance(item, dict) else None
    return Rejected(
        index=index, id=id if isinstance(id, str) and is_label(id) else None, error="invalid_event", message=f"{where}: {first['msg']}"
    )
