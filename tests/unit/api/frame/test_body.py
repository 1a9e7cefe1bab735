"""Bodies are read up to a bound and no further, and understood as FastAPI understands them."""

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.frame.body import bounded, is_json, located, read, validated
from api.wire import ExactNumber, Instant, Label
from tests.unit.api.frame.exchange import Exchange

Reading = Callable[[Exchange, str | None, int], Awaitable[bytes]]


async def read_whole(exchange: Exchange, announced: str | None, bytes_max: int) -> bytes:
    return await read(exchange.receive(), announced, bytes_max)


async def read_as_a_stream(exchange: Exchange, announced: str | None, bytes_max: int) -> bytes:
    receive, content = bounded(exchange.receive(), announced, bytes_max), b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content += message["body"]
        if not message["more_body"]:
            return content


either_way = pytest.mark.parametrize("reading", [read_whole, read_as_a_stream])


@either_way
@pytest.mark.parametrize(
    "chunks",
    [[b""], [b"abc"], [b"a", b"b", b"c"], [b"", b"abc"], [b"abc", b""], [b"", b"", b"ab", b"", b"c", b""], [b"a"] * 1000],
    ids=lambda chunks: f"{len(chunks)} chunks",
)
async def test_a_body_is_the_sum_of_its_chunks(reading: Reading, chunks: list[bytes]) -> None:
    assert await reading(Exchange(chunks=chunks), None, 1000) == b"".join(chunks)


@either_way
@pytest.mark.parametrize("chunks", [[b"12345"], [b"123", b"45"], [b"", b"12345"], [b"1"] * 5], ids=str)
async def test_a_body_of_just_the_bound_is_taken_and_one_byte_more_is_not(reading: Reading, chunks: list[bytes]) -> None:
    assert await reading(Exchange(chunks=chunks), None, 5) == b"".join(chunks)
    with pytest.raises(HTTPException) as refused:
        await reading(Exchange(chunks=chunks), None, 4)
    assert (refused.value.status_code, refused.value.detail) == (413, "A request body has at most 4 bytes.")


@either_way
async def test_what_lies_beyond_the_bound_is_not_even_received(reading: Reading) -> None:
    exchange = Exchange(chunks=[b"123", b"456", b"789"])
    with pytest.raises(HTTPException):
        await reading(exchange, None, 5)
    assert exchange.received == 2


@either_way
@pytest.mark.parametrize("announced", ["6", "1" * 30, "9" * 5000, "-1", "+5", "", "5 ", "5,5", "\u00b2", "0x5"])
async def test_an_announced_length_beyond_the_bound_or_that_is_none_is_refused_unread(reading: Reading, announced: str) -> None:
    exchange = Exchange(chunks=[b"12345"])
    with pytest.raises(HTTPException) as refused:
        await reading(exchange, announced, 5)
    assert (refused.value.status_code, exchange.received) == (413, 0)


@either_way
async def test_an_announced_length_within_the_bound_does_not_lift_it(reading: Reading) -> None:
    assert await reading(Exchange(chunks=[b"12345"]), "5", 5) == b"12345"
    with pytest.raises(HTTPException):
        await reading(Exchange(chunks=[b"123456"]), "5", 5)


@either_way
@pytest.mark.parametrize("chunks", [[], [b"1"], [b"1", b"2"]], ids=str)
async def test_a_caller_that_goes_away_in_the_middle_ends_the_reading(reading: Reading, chunks: list[bytes]) -> None:
    with pytest.raises(ClientDisconnect):
        await reading(Exchange(chunks=chunks, breaks=True), None, 100)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Spot(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["spot"]
    size: ExactNumber


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["line"]
    ends: list[int] = Field(max_length=3)


class Drawing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: Label
    colour: Colour = Colour.RED
    at: Instant | None = None
    width: int = Field(1, strict=True, ge=0)
    price: Decimal | None = None
    share: float | None = None
    visible: bool = True
    parts: list[Annotated[Spot | Line, Field(discriminator="kind")]] = Field([], max_length=5)
    notes: Annotated[dict[str, str], AfterValidator(lambda notes: notes)] = {}


DRAWING: TypeAdapter[Drawing] = TypeAdapter(Drawing)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(10**400), max_value=10**400),
    st.floats(),
    st.text(st.characters(exclude_categories=[])),
    st.sampled_from(["red", "spot", "line", "2026-11-01T00:00:00Z", "20261101", "1", "1e5", "true", "\ud800"]),
)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=4))
parts = st.one_of(
    anything,
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["spot", "line", "dot"])}, optional={"size": scalars, "ends": anything, "more": scalars}
    ),
)
drawings = st.fixed_dictionaries(
    {},
    optional={
        "title": scalars,
        "colour": scalars,
        "at": scalars,
        "width": scalars,
        "price": scalars,
        "share": scalars,
        "visible": scalars,
        "parts": st.lists(parts, max_size=6) | anything,
        "notes": st.dictionaries(st.text(max_size=3), scalars, max_size=3) | anything,
        "extra": scalars,
    },
)


def as_fastapi_does(content: bytes) -> Any:
    """FastAPI's way: JSON first, by Python's own reader, and then the model."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        return [("json_invalid", ("body", error.pos))]
    except (ValueError, RecursionError):
        return 400
    try:
        return DRAWING.validate_python(value, from_attributes=True)
    except ValidationError as error:
        return [
            {**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]


def understood(content: bytes, content_type: str) -> Any:
    try:
        return validated(DRAWING, content, content_type)
    except ValidationError as error:
        return located(error, ("body",))
    except RequestValidationError as error:
        return [(item["type"], item["loc"]) for item in error.errors()]
    except HTTPException as error:
        return error.status_code


def same(one: Any, other: Any) -> bool:
    """Not-a-number is no less itself here."""
    return bool(one == other) or repr(one) == repr(other)


json_types = st.sampled_from(["application/json", "application/json; charset=utf-8", "application/vnd.drawing+json", "APPLICATION/JSON"])


@given(drawings | anything, json_types)
def test_json_is_understood_as_fastapi_understands_it(value: Any, content_type: str) -> None:
    for content in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")):
        assert same(understood(content, content_type), as_fastapi_does(content))


@given(drawings, st.data())
def test_broken_json_is_told_as_fastapi_tells_it(value: Any, data: st.DataObject) -> None:
    content = json.dumps(value).encode()
    place = data.draw(st.integers(0, len(content)))
    broken = content[:place] + data.draw(st.binary(max_size=2)) + content[place + data.draw(st.integers(0, 2)) :]
    assert same(understood(broken, "application/json"), as_fastapi_does(broken))


@given(drawings, drawings)
def test_of_a_key_that_comes_twice_the_last_one_counts(one: Any, other: Any) -> None:
    content = f"{json.dumps(one)[:-1]}{',' if one and other else ''}{json.dumps(other)[1:]}".encode()
    assert same(understood(content, "application/json"), as_fastapi_does(content))


@pytest.mark.parametrize(
    "content",
    [
        b"NaN",
        b'{"title": "x", "share": NaN}',
        b'{"title": "x", "share": 1e99999}',
        b'{"title": "x", "share": -0.0}',
        b'{"title": "\\ud800"}',
        b'{"title": "\xff"}',
        b'\xef\xbb\xbf{"title": "x"}',
        '{"title": "x"}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"title": ' * 1000,
        b"{}{}",
        b" \n",
        b"null",
    ],
    ids=lambda content: str(content[:20]),
)
def test_curious_json_is_understood_as_fastapi_understands_it(content: bytes) -> None:
    assert same(understood(content, "application/json"), as_fastapi_does(content))


def test_an_endless_number_is_a_mistake_in_its_place_and_not_of_the_whole_body() -> None:
    """FastAPI answers 400 and does not say where."""
    mistakes = understood(b'{"title": "x", "width": ' + b"9" * 5000 + b"}", "application/json")
    assert [mistake["loc"] for mistake in mistakes] == [("body", "width")]


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "text/json", "application/jsonx", "application/xml", "json", "a/b/c", ";"]
)
def test_what_is_not_called_json_is_none(content_type: str | None) -> None:
    assert not is_json(content_type)
    with pytest.raises(ValidationError) as refused:
        validated(DRAWING, b'{"title": "x"}', content_type)
    assert [item["type"] for item in refused.value.errors()] == ["model_attributes_type"]


def test_at_most_twenty_mistakes_are_told() -> None:
    content = json.dumps({f"key{number}": number for number in range(50)}).encode()
    with pytest.raises(ValidationError) as refused:
        validated(DRAWING, content, "application/json")
    assert len(refused.value.errors()) > 20
    told = located(refused.value, ("body",))
    assert [item["loc"] for item in told] == [("body", "title"), *(("body", f"key{number}") for number in range(19))]
    assert all(item.keys() == {"type", "loc", "msg"} for item in told)
