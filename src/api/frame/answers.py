"""Answers on the wire: of what was done, and of what was raised."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Send

from api.errors import HTTP_CODES, INTERNAL_ERROR, mistakes, told
from api.replies import Reply
from core.errors import ConcurrentUpdate, DomainError, Overloaded

JSON: Final = (b"content-type", b"application/json")

Headers = list[tuple[bytes, bytes]]


async def send_reply(send: Send, reply: Reply, *, replayed: bool = False) -> None:
    """What was done."""
    await _send(send, reply.status, reply.headers(replayed=replayed), reply.body)


async def send_error(send: Send, error: Exception) -> bool:
    """What the one table says of what was raised; false where it is none of a request's own doing, and is to be raised again."""
    match error:
        case DomainError():
            refusal = told(error)
            await _send_json(send, refusal.status, refusal.body, refusal.headers)
        case ConcurrentUpdate():
            await send_error(send, Overloaded())
        case RequestValidationError():
            await _send_json(send, 422, {"detail": mistakes(error.errors())})
        case HTTPException():
            code = HTTP_CODES.get(error.status_code, "bad_request")
            await _send_json(send, error.status_code, {"detail": {"error": code, "message": error.detail}}, error.headers or {})
        case _:
            await _send_json(send, 500, INTERNAL_ERROR)
            return False
    return True


async def send_response(send: Send, response: Response) -> None:
    """A response of Starlette's whose body is known."""
    await _send(send, response.status_code, response.raw_headers, bytes(response.body))


async def _send_json(send: Send, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    given = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    await _send(send, status, [*given, (b"content-length", str(len(body)).encode()), JSON], body)


async def _send(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
