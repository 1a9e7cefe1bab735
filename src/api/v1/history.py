"""/api/v1/customers/{customer_id}/usage/history: what was used, bucket by bucket."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.dependencies import CustomerReader, container_of
from api.docs import refusals
from api.frame.route import FrameRoute
from api.replies import Reply
from api.v1.bodies import PeriodBody, decimal_or_none
from api.wire import Answer, Instant, Key, Number, instant, number
from core.history.buckets import By
from core.history.read_history import HistoryItem, HistoryQuery

router = APIRouter(prefix="/api/v1/customers/{customer_id}/usage", tags=["usage"], route_class=FrameRoute)

CSV: Final = "text/csv"
_COLUMNS: Final = ("feature", "unit", "start", "end", "used", "overage", "limit")
_COLUMNS_BY_DIMENSION: Final = ("feature", "unit", "start", "end", "dimension", "used")


class GroupBy(StrEnum):
    """What usage can be broken down by."""

    DIMENSION = "dimension"


class DimensionAnswer(Answer):
    """What one dimension contributed; null is usage without one. Beyond 100, the smallest are added up as `other`."""

    dimension: str | None
    used: Number


class BucketAnswer(Answer):
    """What was used of a feature within `start <= t < end`, by when it occurred. Null bounds: an open billing period."""

    feature: str
    unit: str
    start: datetime | None
    end: datetime | None
    used: Number
    overage: Annotated[Number, Field(description="what it added above the limit of the period that it counted in")]
    limit: Annotated[Number | None, Field(description="what might be used in all when the bucket ended, or may by now; null: unlimited")]
    breakdown: Annotated[list[DimensionAnswer] | None, Field(description="largest first; asked for by ?group_by=dimension")] = None

    @classmethod
    def of(cls, item: HistoryItem) -> "BucketAnswer":
        feature, standing, shares = item.feature, item.standing, item.shares
        return cls(
            feature=feature.key,
            unit=feature.unit,
            **PeriodBody.of(item.period).model_dump(),
            used=number(standing.used, feature),
            overage=number(standing.overage, feature),
            limit=decimal_or_none(standing.limit, feature),
            breakdown=None
            if shares is None
            else [DimensionAnswer(dimension=share.dimension, used=number(share.quantity, feature)) for share in shares],
        )


class HistoryAnswer(Answer):
    """Feature by feature, in the order of time; buckets without usage are there."""

    items: list[BucketAnswer]


@router.get(
    "/history",
    response_model=HistoryAnswer,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}, **refusals("feature_not_in_plan", "invalid_span")},
)
async def usage_history(
    request: Request,
    caller: CustomerReader,
    feature: Annotated[Key | None, Query(description="absent: all that the plan meters, or that was ever used")] = None,
    by: Annotated[By, Query(description="in the customer's calendar")] = By.MONTH,
    since: Annotated[Instant | None, Query(description="absent: the last six months, this one included; by hour, seven days")] = None,
    until: Annotated[Instant | None, Query(description="absent: the end of the bucket that contains now")] = None,
    group_by: Annotated[GroupBy | None, Query()] = None,
) -> Response:
    """What was used, by when it occurred, beside the limits that were in force then. With `Accept: text/csv`, as a table.

    The first and the last bucket are cut off at `since` and `until`, so that the buckets add up to what lies between the two. A late
    record or a correction changes the bucket of the usage that it is about.
    """
    query = HistoryQuery(caller.customer_id, feature, by, since, until, by_dimension=group_by is not None)
    items = await container_of(request).read_history().execute(query)
    if _wants_csv(request.headers.get("accept", "")):
        rows = _by_dimension(items) if query.by_dimension else _totals(items)
        return Response(_written(_COLUMNS_BY_DIMENSION if query.by_dimension else _COLUMNS, rows), media_type=CSV)
    return Reply.of(HistoryAnswer(items=[BucketAnswer.of(item) for item in items])).response()


def _wants_csv(accept: str) -> bool:
    """Whether CSV is named, and JSON is not named before it."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    return CSV in kinds and "application/json" not in kinds[: kinds.index(CSV)]


def _written(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _totals(items: Iterable[HistoryItem]) -> Iterator[Sequence[Any]]:
    for item in items:
        units, standing = item.feature.units, item.standing
        limit = "" if standing.limit is None else f"{units(standing.limit):f}"
        yield (*_named(item), f"{units(standing.used):f}", f"{units(standing.overage):f}", limit)


def _by_dimension(items: Iterable[HistoryItem]) -> Iterator[Sequence[Any]]:
    for item in items:
        for share in item.shares or ():
            yield (*_named(item), share.dimension or "", f"{item.feature.units(share.quantity):f}")


def _named(item: HistoryItem) -> Sequence[str]:
    start, end = item.period.starts_at, item.period.resets_at
    return item.feature.key, item.feature.unit, instant(start) if start else "", instant(end) if end else ""
