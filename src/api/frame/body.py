"""Request bodies: read up to a bound, and validated by the route's own model."""

import json
from email.message import Message as EmailMessage
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from api.errors import first_mistakes

BODY_BYTES_MAX: Final = 64 * 1024
"""What a route takes that says nothing else: many times what any of them needs."""
STREAMED_BYTES_MAX: Final = 10**15
"""No bound, for a route that passes on what comes and keeps none of it."""

_DIGITS_MAX: Final = 18
_INTEGER_DIGITS_MAX: Final = 4_000
"""Python reads no whole number of many more digits. A longer one is read as infinite, as 1e999 is: too large wherever it stands."""
_GZIP: Final = b"\x1f\x8b"
_AS_IT_IS: Final = "send the body as it is, without compression"


def bounded(receive: Receive, announced: str | None, bytes_max: int) -> Receive:
    """Raises HTTPException 413 as soon as it is known that the body is too large: from its announced length, or when it has come so far."""
    received = 0

    async def within() -> Message:
        nonlocal received
        _require_within(announced, bytes_max)
        message = await receive()
        received += len(message.get("body", b""))
        if received > bytes_max:
            raise _too_large(bytes_max)
        return message

    return within


async def read(receive: Receive, announced: str | None, bytes_max: int) -> bytes:
    """The whole body. Raises HTTPException 413 like `bounded`, and ClientDisconnect where the caller goes away before the end."""
    _require_within(announced, bytes_max)
    content: bytes | bytearray = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        if len(content) + len(chunk) > bytes_max:
            raise _too_large(bytes_max)
        more = message.get("more_body", False)
        if not more and not content:
            return chunk
        content = bytearray(content) if isinstance(content, bytes) else content  # so that a thousand chunks are no thousand copies
        content += chunk
        if not more:
            return bytes(content)


def _require_within(announced: str | None, bytes_max: int) -> None:
    if announced is not None and not (announced.isdecimal() and len(announced) <= _DIGITS_MAX and int(announced) <= bytes_max):
        raise _too_large(bytes_max)


def _too_large(bytes_max: int) -> HTTPException:
    return HTTPException(413, f"A request body has at most {bytes_max:,} bytes.")


def require_plain(content: bytes, encoding: str | None) -> None:
    """Raises HTTPException 415 for a body that is compressed, whether the header Content-Encoding says so or not."""
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        raise HTTPException(415, f"Content-Encoding: {encoding} is not supported: {_AS_IT_IS}.", {"Accept-Encoding": "identity"})
    if content.startswith(_GZIP):
        raise HTTPException(415, f"The body is compressed: {_AS_IT_IS}.", {"Accept-Encoding": "identity"})


def validated(adapter: TypeAdapter[Any], content: bytes, content_type: str | None) -> Any:
    """What the body says. Raises ValidationError with FastAPI's own words, and what `parsed` raises."""
    if content_type == "application/json":
        try:
            return adapter.validate_json(content)
        except ValidationError:
            pass  # and told below in the words that callers of FastAPI know
    return adapter.validate_python(parsed(content, content_type), from_attributes=True)


def parsed(content: bytes, content_type: str | None) -> Any:
    """JSON where the content type says so, and else the bytes as they are. Raises RequestValidationError where it is no JSON."""
    if not is_json(content_type):
        return content
    try:
        return loaded(content)
    except json.JSONDecodeError as error:
        mistake = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error"}
        raise RequestValidationError([mistake]) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, nested too deeply
        raise HTTPException(400, "There was an error parsing the body") from error


def loaded(content: bytes) -> Any:
    """JSON in UTF-8, UTF-16 or UTF-32, with a byte order mark or without. Raises ValueError and RecursionError."""
    return json.loads(content, parse_int=_integer)


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= _INTEGER_DIGITS_MAX else float(digits)


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type header announces JSON."""
    if not content_type:
        return False
    header = EmailMessage()
    header["content-type"] = content_type
    subtype = header.get_content_subtype()
    return header.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def located(error: ValidationError, where: tuple[str | int, ...]) -> list[dict[str, Any]]:
    """The first mistakes, with where they are; the input itself is left out."""
    return [{**mistake, "loc": (*where, *mistake["loc"])} for mistake in first_mistakes(error)]
