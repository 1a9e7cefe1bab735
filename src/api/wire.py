"""How values look on the wire: numbers, instants, identifiers, pages."""

import base64
import binascii
from datetime import UTC, datetime
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints, WithJsonSchema

from core.errors import NotFoundError
from core.plans.features import SIGNIFICANT_DIGITS_MAX, Feature

PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 200

T = TypeVar("T")


class Wire(BaseModel):
    """A body that callers send. Fields that are not known are refused, since they are mistakes more often than not."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """A body that callers get. All its instants are UTC, and so written with a Z."""

    model_config = ConfigDict(frozen=True)


def number(parts: int, feature: Feature) -> int | float:
    """A count of smallest parts as a JSON number in the feature's unit, whole numbers without a fraction."""
    whole, rest = divmod(parts, feature.resolution)
    return whole if rest == 0 else decimal_number(feature.units(parts))


def decimal_number(value: Decimal) -> int | float:
    """An exact number as a JSON number; a double carries its 15 significant digits unharmed."""
    return int(value) if value == value.to_integral_value() else float(value)


def instant(value: datetime) -> str:
    """RFC 3339 in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def spelled(value: Decimal) -> str:
    """A number in one spelling: 1.0 and 1e0 are 1. Of a fraction, what comes after the digits that a double keeps is noise."""
    whole = value == value.to_integral_value()
    return str((_ANY if whole else _KEPT).plus(value).normalize(_ANY))


def _exact(value: Any) -> Any:
    match value:
        case int() if not isinstance(value, bool):
            return Decimal(value)
        case float() | Decimal():
            return Decimal(str(value))
        case _:
            raise ValueError("a JSON number is expected")


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("an instant with a time zone is expected, such as 2026-11-01T00:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("an instant between the years 1 and 9999 is expected") from error


def _instant_text(value: Any) -> Any:
    if not isinstance(value, (str, datetime)):
        raise ValueError("an RFC 3339 text is expected, such as 2026-11-01T00:00:00Z")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("characters that can be printed are expected")
    return value


def _without_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("the character U+0000 cannot be stored")
    return value


_KEPT: Final = Context(prec=SIGNIFICANT_DIGITS_MAX, Emin=MIN_EMIN, Emax=MAX_EMAX)
_ANY: Final = Context(prec=100, Emin=MIN_EMIN, Emax=MAX_EMAX)

ExactNumber = Annotated[
    Decimal, BeforeValidator(_exact), PlainSerializer(spelled, return_type=str, when_used="json"), WithJsonSchema({"type": "number"})
]
"""A JSON number as its shortest decimal text says. Domain rules say which numbers are accepted."""

Number = int | float

Instant = Annotated[
    datetime,
    BeforeValidator(_instant_text),
    AfterValidator(_aware),
    PlainSerializer(instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

CustomerId = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_printable)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_printable)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_printable)]
Prose = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_without_nul)]


def identified(missing: type[NotFoundError]) -> BeforeValidator:
    """For ids that are made here: a text that is not a UUID is answered as an unknown id is."""

    def parsed(value: Any) -> Any:
        try:
            return UUID(value)
        except ValueError as error:
            raise missing(value) from error

    return BeforeValidator(parsed)


class Page(Answer, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(description="pass it as ?cursor= to get what follows; null on the last page")


Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="how many items at most")]
Cursor = Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")]


def to_cursor(at: datetime, id: UUID) -> str:
    """Where a page ended."""
    return base64.urlsafe_b64encode(f"{at.astimezone(UTC).isoformat()}|{id}".encode()).decode().rstrip("=")


def from_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    """Where the page before ended. A cursor that was not handed out is answered like any other invalid parameter."""
    if cursor is None:
        return None
    try:
        at, _, id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
        return datetime.fromisoformat(at).astimezone(UTC), UUID(id)
    except (ValueError, OverflowError, binascii.Error) as error:
        mistake = {"type": "value_error", "loc": ("query", "cursor"), "msg": "a cursor of the page before is expected"}
        raise RequestValidationError([mistake]) from error
