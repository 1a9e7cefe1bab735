"""How values look on the wire: numbers, instants, identifiers, pages."""

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import MAX_EMAX, MIN_EMIN, ROUND_DOWN, Context, Decimal
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from core import text
from core.errors import NotFoundError
from core.plans.features import Feature, without_noise

PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 200
DURATION_SECONDS_MAX: Final = 7 * 24 * 3600

T = TypeVar("T")
V = TypeVar("V")

Number = int | float


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


def percent(used: int, limit: int) -> Number:
    """Used of limit, rounded down to a tenth: full is full. Of a limit of nothing, nothing is 0 and anything is full."""
    if limit == 0:
        return 100 if used else 0
    tenths = 1000 * used // limit
    return tenths // 10 if tenths % 10 == 0 else tenths / 10


def money(dollars: Decimal) -> str:
    """For people to read, rounded down to the cent: full is full."""
    return f"${dollars.quantize(_CENT, ROUND_DOWN):f}"


def spelled(value: Decimal) -> str:
    """A number in one spelling: 1.0 and 1e0 are 1. Of a fraction, what comes after the digits that a double keeps is noise."""
    whole = value == value.to_integral_value()
    return str(_ANY.plus(value if whole else without_noise(value)).normalize(_ANY))


def _exact(value: Any) -> Any:
    match value:
        case int() if not isinstance(value, bool):
            return Decimal(value)
        case float() | Decimal():
            return Decimal(str(value))
        case _:
            raise ValueError("a JSON number is expected")


def _seconds(value: Any) -> int:
    match value:
        case bool():
            raise ValueError("a number of seconds is expected")
        case int() | float() if value < 0:
            raise ValueError("at least 0 is expected")
        case int():
            return value
        case float() if math.isfinite(value):
            return round(value)
        case _:
            raise ValueError("a number of seconds is expected")


def _parsed(value: Any) -> datetime:
    found = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        hint = f"; {_PLUS}" if isinstance(value, str) and _LOST_PLUS.fullmatch(value) else ""
        raise ValueError(f"a time is expected, as a string in RFC 3339 with an offset, such as '2026-11-01T00:00:00Z'{hint}")
    date, time, microseconds, offset = found.groups("")
    if time.endswith(":60"):
        raise ValueError("leap seconds are not counted: send the second before or after it")
    try:
        return datetime.fromisoformat(f"{date}T{time}{microseconds}{offset.upper()}").astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time between the years 1 and 9999 is expected") from error


def _label(value: str) -> str:
    if not text.is_label(value):
        raise ValueError("one line of text is expected, without control characters and halves of surrogate pairs")
    return value


def _prose(value: str) -> str:
    if not text.is_prose(value):
        raise ValueError("text is expected, without control characters other than tabs and line ends, and halves of surrogate pairs")
    return value


def own_id(value: str) -> str:
    """An id that a caller may give. Raises ValueError."""
    if not text.is_id(value):
        raise ValueError("an id has no white space at either end, no control characters and no halves of surrogate pairs")
    return value


def _language(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise ValueError("a language tag is expected, such as 'de' or 'en-GB'")
    return tag


def _address(email: str) -> str:
    if not _EMAIL.fullmatch(email) or not text.is_label(email):
        raise ValueError("an email address is expected, such as 'team@example.com'")
    return email


def _mended(mend: Callable[[str], str]) -> BeforeValidator:
    return BeforeValidator(lambda value: mend(value) if isinstance(value, str) else value)


def mended_short_label(value: str) -> str:
    """A finished work's label of up to 64 characters."""
    return text.mended_label(value, text.SHORT_LABEL_LENGTH_MAX)


def mended_texts(body: Any, **mends: Callable[[str], str]) -> Any:
    """A JSON object with these of its texts mended; an empty one is none."""
    if not isinstance(body, dict):
        return body
    return body | {name: mend(body[name]) or None for name, mend in mends.items() if isinstance(body.get(name), str)}


_TAG: Final = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,4}")
_EMAIL: Final = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\".]+(?:\.[^\s@<>()\[\],;:\\\".]+)+")
"""One address, and nothing that a mail program would take for several, or for a name: whether it exists, only sending shows."""

_CENT: Final = Decimal("0.01")
_RFC_3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]((?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60))"
    r"(?:(\.[0-9]{1,6})[0-9]*)?([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
"""The groups are all that is kept: what is finer than a microsecond is cut off."""
_LOST_PLUS: Final = re.compile(r".*[0-9] [0-9]{2}:[0-9]{2}")
_PLUS: Final = "a + in a URL means a space, and has to be written as %2B"

_ANY: Final = Context(prec=100, Emin=MIN_EMIN, Emax=MAX_EMAX)

ExactNumber = Annotated[
    Decimal, BeforeValidator(_exact), PlainSerializer(spelled, return_type=str, when_used="json"), WithJsonSchema({"type": "number"})
]
"""A JSON number as its shortest decimal text says. Domain rules say which numbers are accepted."""

RoundNumber = Annotated[ExactNumber, AfterValidator(without_noise)]
"""A number of no feature: its 15 significant digits."""


Seconds = Annotated[
    int,
    BeforeValidator(_seconds),
    Field(le=DURATION_SECONDS_MAX),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": DURATION_SECONDS_MAX}),
]
"""How long finished work took, rounded half-even to the second."""

Instant = Annotated[
    datetime,
    PlainValidator(_parsed),
    PlainSerializer(instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""RFC 3339 with an offset, and nothing else."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=text.LABEL_LENGTH_MAX), AfterValidator(own_id)]
"""What callers name things by. It is never mended: two ids could become one."""
CustomerId = Id
Key = Annotated[str, StringConstraints(min_length=1, max_length=text.SHORT_LABEL_LENGTH_MAX), AfterValidator(_label)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=text.LABEL_LENGTH_MAX), AfterValidator(_label)]
Prose = Annotated[str, StringConstraints(max_length=text.PROSE_LENGTH_MAX), AfterValidator(_prose)]

LanguageTag = Annotated[str, StringConstraints(min_length=2, max_length=35), AfterValidator(_language)]
"""How somebody is written to: `de`, `en-GB`."""
Email = Annotated[str, StringConstraints(min_length=3, max_length=254), AfterValidator(_address)]

# Words about work that is done are mended, and never a reason to refuse it.
FinishedShortLabel = Annotated[str, _mended(mended_short_label), StringConstraints(min_length=1)]
FinishedDetail = Annotated[FinishedShortLabel | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A label that may be absent; an empty one is."""
FinishedProse = Annotated[str, _mended(text.mended_prose)]


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

    def each(self, answer: Callable[[T], V]) -> "Page[V]":
        """The same page, each of its items as it is answered."""
        return Page(items=[answer(item) for item in self.items], next_cursor=self.next_cursor)


_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


def _whole(text: Any) -> Any:
    if isinstance(text, str) and not _WHOLE.fullmatch(text):
        raise PydanticCustomError("int_parsing", "Digits are expected")
    return text


QueryInteger = Annotated[int, BeforeValidator(_whole)]
"""A whole number in a query: digits, and nothing that only looks like them, such as 60.0 or 6_0. In a body it is a JSON number without a
fraction: `strict=True`."""

Limit = Annotated[QueryInteger, Query(ge=1, le=PAGE_SIZE_MAX, description="how many items at most")]
Cursor = Annotated[str | None, Query(max_length=2_000, description="next_cursor of the page before")]


def to_cursor(at: datetime, id: object) -> str:
    """Where a page ended."""
    return base64.urlsafe_b64encode(f"{at.astimezone(UTC).isoformat()}|{id}".encode()).decode().rstrip("=")


def from_cursor(cursor: str | None, read_id: Callable[[str], Any] = UUID) -> tuple[datetime, Any] | None:
    """Where the page before ended. A cursor that was not handed out is answered like any other invalid parameter."""
    if cursor is None:
        return None
    try:
        at, _, id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
        return datetime.fromisoformat(at).astimezone(UTC), read_id(id)
    except (ValueError, OverflowError, binascii.Error) as error:
        mistake = {"type": "value_error", "loc": ("query", "cursor"), "msg": "a cursor of the page before is expected"}
        raise RequestValidationError([mistake]) from error
