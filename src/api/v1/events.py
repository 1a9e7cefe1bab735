"""/api/v1/events: what other systems report, as CloudEvents."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple, NotRequired
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from api.container import Container
from api.dependencies import ServiceWriter, container_of
from api.docs import refusals
from api.errors import told
from api.frame.body import loaded, require_plain
from api.frame.route import FrameRoute
from api.replies import REPLAYED, fingerprint, idempotency_key
from api.v1.bodies import BULK_BYTES_MAX, ITEMS_MAX, PASSING
from api.wire import Answer, CustomerId, ExactNumber, FinishedDetail, Id, Instant, Key, spelled
from core.errors import DomainError
from core.metering.balance import Amount, FeatureNotInPlan
from core.metering.event_types import EventType, InvalidEvent
from core.metering.ingest_events import IngestEventCommand
from core.metering.use_case import Call
from core.text import is_label

router = APIRouter(prefix="/api/v1", tags=["bulk"], route_class=FrameRoute)

READ_AT_ONCE: Final = 100
"""After so many events the other requests get their turn."""

ONE_EVENT: Final = "application/cloudevents+json"
MANY_EVENTS: Final = "application/cloudevents-batch+json"
JSON: Final = "application/json"
"""One event or a list of them; or, with the attributes in headers that begin with `ce-`, the data of one: CloudEvents' binary mode."""

BINARY: Final = b"ce-"
ONE: Final = Decimal(1)

_REFERENCE: Final = {"$ref": "#/components/schemas/Event"}
_LIST: Final = {"type": "array", "maxItems": ITEMS_MAX, "items": _REFERENCE}
_EXAMPLE: Final = {
    "specversion": "1.0",
    "id": "call-17",
    "source": "gateway",
    "type": "api_calls",
    "subject": "acme",
    "time": "2026-11-26T10:00:00Z",
    "data": {"quantity": 3},
}


# An event is a TypedDict: read in two thirds of the time of a model.
class EventData(TypedDict):
    """How much was used."""

    quantity: ExactNumber
    dimension: NotRequired[FinishedDetail]


def _no_base64(value: Any) -> Any:
    raise ValueError("data_base64 is not read: send JSON in data")


class Attributes(TypedDict):
    """What every CloudEvent 1.0 has. Other attributes, and extensions, may be there; they are not looked at."""

    specversion: Annotated[str, Field(pattern=r"^1\.0$")]
    id: Id
    source: Id
    type: Annotated[Key, Field(description="the feature, or a type that the plan file maps to features")]
    subject: Annotated[CustomerId, Field(description="the customer's id")]
    time: NotRequired[Instant | None]
    data_base64: NotRequired[Annotated[Any, BeforeValidator(_no_base64), SkipJsonSchema()]]


class Event(Attributes):
    """A CloudEvent 1.0 whose type is a feature. Without data, one unit was used."""

    data: NotRequired[EventData | None]


class MappedEvent(Attributes):
    """A CloudEvent 1.0 of a type that is mapped to features: what its data say is looked up by the paths of the mapping."""

    data: NotRequired[Any]


_EVENT: Final = TypeAdapter(Event)
_MAPPED_EVENT: Final = TypeAdapter(MappedEvent)


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
                ONE_EVENT: {"schema": _REFERENCE, "example": _EXAMPLE},
                MANY_EVENTS: {"schema": _LIST, "example": [_EXAMPLE]},
                JSON: {"schema": {"oneOf": [_REFERENCE, _LIST]}, "example": _EXAMPLE},
            },
        }
    },
)
async def ingest_events(request: Request, who: ServiceWriter) -> Response:
    """Book CloudEvents 1.0, each (source, id) once for ever. Valid events are booked even where others are rejected."""
    container = container_of(request)
    key = idempotency_key(request)
    events = await read_events(await _events(request), who.name, await container.event_type_reader().mapped())

    async def answer() -> bytes:
        return (await _ingest(events, container)).model_dump_json().encode()

    if key is None:
        return Response(await answer(), media_type="application/json")
    content, replayed = await container.answer_once().execute(who.identity, key, fingerprint(request, *events.understood()), answer)
    return Response(content, headers={REPLAYED: "true"} if replayed else None, media_type="application/json")


async def _ingest(events: ReadEvents, container: Container) -> EventsAnswer:
    rejected = list(events.rejected)
    outcomes = await container.ingest_events().execute([Call(command) for command in events.commands]) if events.commands else ()
    booked, known = outcomes.count(True), outcomes.count(False)
    if booked + known < len(outcomes):
        for index, command, outcome in zip(events.indexes, events.commands, outcomes, strict=True):
            if isinstance(outcome, DomainError):
                rejected.append(_refused(index, command, outcome))
    return EventsAnswer(accepted=booked, duplicates=known, rejected=sorted(rejected, key=lambda item: item.index))


def _refused(index: int, command: IngestEventCommand, outcome: DomainError) -> Rejected:
    if isinstance(outcome, PASSING):
        # This says nothing about the event: the request is to be sent again, and what was booked by now counts as a duplicate then.
        raise outcome
    detail = told(outcome).detail
    message = _nothing_counted(outcome.feature) if isinstance(outcome, FeatureNotInPlan) and not outcome.declared else detail["message"]
    return Rejected(index=index, id=command.event_id, error=detail["error"], message=message)


def _nothing_counted(type: str) -> str:
    return f"{type!r} is neither a declared metered feature nor an event type under 'meters:' in the plan file."


async def read_events(found: list[Any], recorded_by: str, mapped: Mapping[str, EventType]) -> ReadEvents:
    """Other requests get their turn in between."""
    commands: list[IngestEventCommand] = []
    indexes: list[int] = []
    rejected: list[Rejected] = []
    for index, item in enumerate(found):
        if index and index % READ_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            commands.append(_to_command(item, recorded_by, mapped))
        except ValidationError as error:
            first = error.errors()[0]
            rejected.append(_invalid(index, item, f"{'.'.join(map(str, first['loc'])) or 'event'}: {first['msg']}"))
        except InvalidEvent as error:
            rejected.append(_invalid(index, item, error.message))
        else:
            indexes.append(index)
    return ReadEvents(commands, indexes, rejected)


async def _events(request: Request) -> list[Any]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    attributes = _attributes(request)
    if content_type not in (ONE_EVENT, MANY_EVENTS, JSON) and not (attributes and not content_type):
        raise HTTPException(415, f"{ONE_EVENT}, {MANY_EVENTS} or {JSON} is expected.")
    body = await request.body()
    require_plain(body, request.headers.get("content-encoding"))
    try:
        content = _read(body) if body or not attributes else None
    except ValueError as error:
        raise HTTPException(400, f"The body cannot be read as JSON: {error}.") from error
    if attributes and content_type not in (ONE_EVENT, MANY_EVENTS):
        return [attributes if content is None else attributes | {"data": content}]
    if content_type == ONE_EVENT and isinstance(content, list):
        raise HTTPException(422, f"A list of events is sent as {MANY_EVENTS}.")
    if content_type == ONE_EVENT or (content_type == JSON and not isinstance(content, list)):
        return [content]
    if not isinstance(content, list) or not 1 <= len(content) <= ITEMS_MAX:
        raise HTTPException(422, f"An array of 1 to {ITEMS_MAX} events is expected.")
    return content


def _attributes(request: Request) -> dict[str, Any]:
    """The attributes of binary mode; their values are percent-encoded UTF-8. None without the one that every event has."""
    try:
        found = {
            name[len(BINARY) :].decode("latin-1"): unquote(value.decode("latin-1"), errors="strict")
            for name, value in request.scope["headers"]
            if name.startswith(BINARY)
        }
    except UnicodeDecodeError as error:  # mended, two different ids would be one
        raise HTTPException(422, "The values of headers that begin with ce- are percent-encoded UTF-8.") from error
    return found if "specversion" in found else {}


def _read(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        # What only one of the events is to blame for (half of a surrogate pair, NaN, an endless number) is no reason to refuse the others.
        with suppress(ValueError, RecursionError):
            return loaded(body)
        raise error


def _to_command(item: Any, recorded_by: str, mapped: Mapping[str, EventType]) -> IngestEventCommand:
    """Raises ValidationError and InvalidEvent."""
    type = item.get("type") if isinstance(item, dict) else None
    kind = mapped.get(type) if isinstance(type, str) else None
    event: Attributes
    amounts: Sequence[Amount]
    if kind is None:
        event = feature_event = _EVENT.validator.validate_python(item)
        data = feature_event.get("data")
        feature = event["type"]
        amounts = (Amount(feature, data["quantity"], data.get("dimension")) if data else Amount(feature, ONE),)
    else:
        event = mapped_event = _MAPPED_EVENT.validate_python(item)
        amounts = kind.amounts(mapped_event.get("data"))
    return IngestEventCommand(event["subject"], amounts, event["source"], event["id"], recorded_by, event.get("time"))


def schemas() -> dict[str, Any]:
    """The schemas of events for the OpenAPI document, by name."""
    event = _EVENT.json_schema(ref_template="#/components/schemas/{model}")
    return {**event.pop("$defs"), "Event": event}


def _invalid(index: int, item: object, message: str) -> Rejected:
    id = item.get("id") if isinstance(item, dict) else None
    return Rejected(index=index, id=id if isinstance(id, str) and is_label(id) else None, error="invalid_event", message=message)
