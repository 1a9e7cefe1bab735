"""/api/v1/usage/batch and /api/v1/events: many decisions in one request."""

import asyncio
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, NotRequired

from fastapi import APIRouter, Request, Response
from pydantic import Field, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from api.container import Container
from api.dependencies import ServiceWriter, container_of
from api.docs import refusals
from api.errors import mistakes, told
from api.frame.route import FrameRoute
from api.replies import REPLAYED, Reply, idempotency_key
from api.v1.bodies import UsageBody, consumed, to_command
from api.wire import Answer, CustomerId, ExactNumber, FinishedDetail, Id, Instant, Key, Wire
from core.access.principal import Principal
from core.errors import DomainError, Overloaded, StorageUnavailable
from core.metering.balance import Amount
from core.metering.consume_usage import Consumed, ConsumeUsageCommand
from core.metering.idempotency import Once, Replay
from core.metering.ingest_events import IngestEventCommand
from core.metering.use_case import Call
from core.text import is_label

router = APIRouter(prefix="/api/v1", tags=["bulk"], route_class=FrameRoute)

ITEMS_MAX: Final = 1_000
BULK_BYTES_MAX: Final = 8 * 1024 * 1024
READ_AT_ONCE: Final = 100
"""After so many events the other requests get their turn."""

ONE_EVENT: Final = "application/cloudevents+json"
MANY_EVENTS: Final = "application/cloudevents-batch+json"
ONE: Final = Decimal(1)
PASSING: Final = (StorageUnavailable, Overloaded)
"""What may be over when the request is repeated."""


class BatchItem(UsageBody):
    """One decision of a batch."""

    customer_id: CustomerId
    idempotency_key: Annotated[str | None, Field(min_length=1, max_length=255, pattern="^[!-~]+$")] = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """An item that cannot be read, and what a single request like it would get as its answer."""

    answer: dict[str, Any]


def _item_or_mistakes(value: Any, handler: ValidatorFunctionWrapHandler) -> BatchItem | Malformed:
    try:
        item: BatchItem = handler(value)
        return item
    except ValidationError as error:
        return Malformed({"detail": mistakes(error.errors())})


class BatchBody(Wire):
    """Decisions to take, in this order, each on its own."""

    items: Annotated[list[Annotated[BatchItem, WrapValidator(_item_or_mistakes)]], Field(min_length=1, max_length=ITEMS_MAX)]


class BatchResult(Answer):
    """What a single request would get as its answer."""

    status: int
    body: dict[str, Any]


class BatchAnswer(Answer):
    """A result for each item, in the order of the items."""

    results: list[BatchResult]


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


@router.post("/usage/batch", max_body_size=BULK_BYTES_MAX, response_model=BatchAnswer)
async def consume_batch(request: Request, body: BatchBody, who: ServiceWriter) -> Response:
    """Decide up to 1,000 requests to consume, each on its own, in order: for gateways and workers that collect requests themselves."""
    container = container_of(request)
    key = idempotency_key(request)
    whole = await _fingerprint(request) if key else b""
    if key:
        await container.answer_once().claim(who.name, key, whole)
    items: list[BatchItem | Malformed] = list(body.items)
    calls = [_to_call(item, index, who.name, key, whole) for index, item in enumerate(items) if isinstance(item, BatchItem)]
    outcomes = await container.consume_usage().execute(calls) if calls else ()
    troubles = [outcome for outcome in outcomes if isinstance(outcome, PASSING)]
    if troubles and len(troubles) == len(outcomes):
        raise troubles[0]
    decided = iter(outcomes)
    results = [item if isinstance(item, Malformed) else next(decided) for item in items]
    content = b'{"results":[' + b",".join(map(_result, results)) + b"]}"
    replayed = key is not None and any(isinstance(outcome, Replay) for outcome in outcomes)
    return Response(content, headers={REPLAYED: "true"} if replayed else None, media_type="application/json")


def _to_call(item: BatchItem, index: int, recorded_by: str, key: str | None, whole: bytes) -> Call[ConsumeUsageCommand]:
    once = None
    if item.idempotency_key is not None:
        asked = item.model_dump_json(exclude={"idempotency_key"})
        once = Once(item.idempotency_key, hashlib.sha256(asked.encode()).digest(), _encoded)
    elif key is not None:
        # The request's own key stands for each of its items; with a space in it, it can be nobody else's.
        once = Once(f"{key} {index}", whole, _encoded)
    return Call(to_command(item.customer_id, item, recorded_by), once)


def _encoded(result: Consumed) -> bytes:
    return consumed(result).encoded()


def _result(outcome: Consumed | Replay | DomainError | Malformed) -> bytes:
    match outcome:
        case Malformed(mistaken):
            return b'{"status":422,"body":%s}' % json.dumps(mistaken).encode()
        case DomainError():
            refusal = told(outcome)
            return b'{"status":%d,"body":%s}' % (refusal.status, json.dumps(refusal.body).encode())
        case Replay(stored):
            answer = Reply.decoded(stored)
        case Consumed():
            answer = consumed(outcome)
    return b'{"status":%d,"body":%s}' % (answer.status, answer.body)


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
    found = await _events(request)

    async def answer() -> bytes:
        return (await _ingest(found, who, container)).model_dump_json().encode()

    if key is None:
        return Response(await answer(), media_type="application/json")
    content, replayed = await container.answer_once().execute(who.name, key, await _fingerprint(request), answer)
    return Response(content, headers={REPLAYED: "true"} if replayed else None, media_type="application/json")


async def _fingerprint(request: Request) -> bytes:
    return hashlib.sha256(request.url.path.encode() + b"\n" + await request.body()).digest()


async def _ingest(found: list[Any], who: Principal, container: Container) -> EventsAnswer:
    commands, indexes, rejected = await read_events(found, who.name)
    outcomes = await container.ingest_events().execute([Call(command) for command in commands]) if commands else ()
    for index, command, outcome in zip(indexes, commands, outcomes, strict=True):
        if isinstance(outcome, DomainError):
            if isinstance(outcome, PASSING):
                # This says nothing about the event: the request is to be sent again, and what was booked by now counts as a duplicate then.
                raise outcome
            detail = told(outcome).detail
            rejected.append(Rejected(index=index, id=command.event_id, error=detail["error"], message=detail["message"]))
    booked = sum(outcome is True for outcome in outcomes)
    known = sum(outcome is False for outcome in outcomes)
    return EventsAnswer(accepted=booked, duplicates=known, rejected=sorted(rejected, key=lambda item: item.index))


async def read_events(found: list[Any], recorded_by: str) -> tuple[list[IngestEventCommand], list[int], list[Rejected]]:
    """Valid commands, their indexes, and the rejected events. Other requests get their turn in between."""
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
    return commands, indexes, rejected


async def _events(request: Request) -> list[Any]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (ONE_EVENT, MANY_EVENTS):
        raise HTTPException(415, f"{ONE_EVENT} or {MANY_EVENTS} is expected.")
    try:
        content = _read(await request.body())
    except ValueError as error:
        raise HTTPException(400, f"The body cannot be read as JSON: {error}.") from error
    if content_type == ONE_EVENT:
        return [content]
    if not isinstance(content, list) or not 1 <= len(content) <= ITEMS_MAX:
        raise HTTPException(422, f"An array of 1 to {ITEMS_MAX} events is expected.")
    return content


def _read(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        # What only one of the events is to blame for (half of a surrogate pair, NaN) is no reason to refuse the others.
        with suppress(ValueError, RecursionError):
            return json.loads(body.decode())
        raise error


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
