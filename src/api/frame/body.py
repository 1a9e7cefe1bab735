"""Request bodies: read up to a bound, and validated by the route's own model."""

import json
from email.message import Message as EmailMessage
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive

from api.errors import MISTAKES_MAX

BODY_BYTES_MAX: Final = 64 * 1024
"""What a route takes that says nothing else: many times what any of them needs."""

ABSENT: Final = object()
"""In place of a body that was not sent."""


class Disconnected(Exception):
    """The caller went away before its request was complete: nobody waits for an answer."""


def too_large(bytes_max: int) -> HTTPException:
    """The answer to a body beyond the bound."""
    return HTTPException(413, f"A request body has at most {bytes_max:,} bytes.")


async def read(receive: Receive, announced: str | None, bytes_max: int) -> bytes:
    """The whole body. Raises HTTPException 413 as soon as it is known to be too large, and Disconnected."""
    if announced is not None and not (announced.isdigit() and int(announced) <= bytes_max):
        raise too_large(bytes_max)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > bytes_max:
            raise too_large(bytes_max)
        return body
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > bytes_max:
            raise too_large(bytes_max)
    return b"".join(chunks)


def validated(adapter: TypeAdapter[Any], content: bytes, content_type: str | None) -> Any:
    """What the body says. Raises RequestValidationError with the mistakes in FastAPI's own form."""
    if content_type == "application/json":
        try:
            return adapter.validate_json(content)
        except ValidationError:
            pass  # and told below in the words that callers of FastAPI know
    value = parsed(content, content_type)
    try:
        return adapter.validate_python(value, from_attributes=True)
    except ValidationError as error:
        raise RequestValidationError(located(error, ("body",))) from error


def parsed(content: bytes, content_type: str | None) -> Any:
    """JSON where the content type says so, and else the bytes as they are. Raises RequestValidationError where it is no JSON."""
    if not is_json(content_type):
        return content
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        mistake = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error"}
        raise RequestValidationError([mistake]) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, an endless number, nested too deeply
        raise HTTPException(400, "There was an error parsing the body") from error


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
    found = error.errors(include_url=False, include_context=False, include_input=False)[:MISTAKES_MAX]
    return [{**mistake, "loc": (*where, *mistake["loc"])} for mistake in found]
