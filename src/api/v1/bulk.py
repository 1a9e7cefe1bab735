"""/api/v1/usage/batch: many decisions in one request."""

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from api.container import Container
from api.dependencies import ServiceWriter, container_of
from api.errors import first_mistakes, mistakes, told
from api.frame.refused import note
from api.frame.route import FrameRoute
from api.replies import REPLAYED, Reply, fingerprint, idempotency_key, understood
from api.v1.bodies import BULK_BYTES_MAX, ITEMS_MAX, PASSING, UsageBody, consumed, to_command
from api.wire import Answer, CustomerId, Wire
from core.errors import DomainError, StorageUnavailable
from core.metering.consume_usage import Consumed, ConsumeUsageCommand
from core.metering.idempotency import Once, Replay
from core.metering.use_case import Call

router = APIRouter(prefix="/api/v1", tags=["bulk"], route_class=FrameRoute)


class BatchItem(UsageBody):
    """One decision of a batch."""

    customer_id: CustomerId
    idempotency_key: Annotated[str | None, Field(min_length=1, max_length=255, pattern="^[!-~]+$")] = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """An item that cannot be read, and what a single request like it would get as its answer."""

    answer: dict[str, Any]


_ITEM: Final = TypeAdapter(BatchItem)
_MISTAKES_MAX: Final = 40
"""Of one item, so that a thousand items are answered in time."""


def _each_or_its_mistakes(values: Any, handler: ValidatorFunctionWrapHandler) -> list[BatchItem | Malformed]:
    """All at once, which is the quickest; and one by one where something is wrong with one of them: the first one ends it."""
    try:
        items: list[BatchItem | Malformed] = handler(values)
        return items
    except ValidationError:
        if not isinstance(values, list) or not 1 <= len(values) <= ITEMS_MAX:
            raise
    return [_item_or_mistakes(value) for value in values]


def _item_or_mistakes(value: Any) -> BatchItem | Malformed:
    try:
        return _ITEM.validate_python(value)
    except ValidationError as error:
        return Malformed({"detail": mistakes(first_mistakes(error, _MISTAKES_MAX))})


class BatchBody(Wire):
    """Decisions to take, in this order, each on its own."""

    items: Annotated[list[BatchItem], Field(min_length=1, max_length=ITEMS_MAX, fail_fast=True), WrapValidator(_each_or_its_mistakes)]


class BatchResult(Answer):
    """What a single request would get as its answer."""

    status: int
    body: dict[str, Any]


class BatchAnswer(Answer):
    """A result for each item, in the order of the items."""

    results: list[BatchResult]


@router.post("/usage/batch", max_body_size=BULK_BYTES_MAX, response_model=BatchAnswer)
async def consume_batch(request: Request, body: BatchBody, who: ServiceWriter) -> Response:
    """Decide up to 1,000 requests to consume, each on its own, in order: for gateways and workers that collect requests themselves."""
    container = container_of(request)
    key = idempotency_key(request)
    items: list[BatchItem | Malformed] = list(body.items)
    whole = fingerprint(request, *map(_understood, items)) if key else b""
    if key:
        await _claim(container, who.identity, key, whole)
    calls = [_to_call(item, index, who.name, key, whole) for index, item in enumerate(items) if isinstance(item, BatchItem)]
    outcomes = await container.consume_usage().execute(calls) if calls else ()
    troubles = [outcome for outcome in outcomes if isinstance(outcome, PASSING)]
    if troubles and len(troubles) == len(outcomes):
        raise troubles[0]
    for call, outcome in zip(calls, outcomes, strict=True):
        if isinstance(outcome, DomainError):
            note(request, call.command.customer_id, "usage_batch", outcome)
    decided = iter(outcomes)
    results = [item if isinstance(item, Malformed) else next(decided) for item in items]
    content = b'{"results":[' + b",".join(map(_result, results)) + b"]}"
    replayed = key is not None and any(isinstance(outcome, Replay) for outcome in outcomes)
    return Response(content, headers={REPLAYED: "true"} if replayed else None, media_type="application/json")


async def _claim(container: Container, caller: str, key: str, whole: bytes) -> None:
    """While the database is away and features admit, the keys of the items alone stand for the whole request, which each of them names."""
    try:
        await container.answer_once().claim(caller, key, whole)
    except StorageUnavailable:
        if not container.outage().admits:
            raise


def _to_call(item: BatchItem, index: int, recorded_by: str, key: str | None, whole: bytes) -> Call[ConsumeUsageCommand]:
    once = None
    if item.idempotency_key is not None:
        asked = understood(item.model_copy(update={"idempotency_key": None}))
        once = Once(item.idempotency_key, hashlib.sha256(asked.encode()).digest(), _encoded)
    elif key is not None:
        # The request's own key stands for each of its items; with a space in it, it can be nobody else's.
        once = Once(f"{key} {index}", whole, _encoded)
    return Call(to_command(item.customer_id, item, recorded_by), once)


def _understood(item: BatchItem | Malformed) -> str:
    """Of an item that is none, what is wrong with it."""
    return json.dumps(item.answer) if isinstance(item, Malformed) else understood(item)


def _encoded(result: Consumed) -> bytes:
    return consumed(result).encoded()


def _result(outcome: Consumed | Replay | DomainError | Malformed) -> bytes:
    match outcome:
        case Consumed():  # the most frequent comes first: there may be a thousand
            answer = consumed(outcome)
        case Malformed(mistaken):
            return b'{"status":422,"body":%s}' % json.dumps(mistaken).encode()
        case DomainError():
            refusal = told(outcome)
            return b'{"status":%d,"body":%s}' % (refusal.status, json.dumps(refusal.body).encode())
        case Replay(stored):
            answer = Reply.decoded(stored)
    return b'{"status":%d,"body":%s}' % (answer.status, answer.body)
