"""How a command is carried out for an HTTP request, and answered so that a repeat gets the very same answer."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response

from core.metering.idempotency import Once
from core.metering.use_case import AccountCommand

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

KEY_LENGTH_MAX: Final = 255
_JSON: Final = (b"content-type", b"application/json")
HEADER: Final = "idempotency-key"
REPLAYED: Final = "Idempotency-Replayed"

C = TypeVar("C", bound=AccountCommand)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Reply:
    """What an HTTP caller gets for a result."""

    status: int
    body: bytes
    location: str | None = None

    @classmethod
    def of(cls, body: "BaseModel | DataclassInstance", status: int = 200, location: str | None = None) -> "Reply":
        """The body is a model, or a dataclass of plain fields."""
        content = body.model_dump_json().encode() if isinstance(body, BaseModel) else to_json(body)
        return cls(status, content, location)

    def encoded(self) -> bytes:
        """For storage."""
        return f"{self.status} {self.location or ''}\n".encode() + self.body

    @classmethod
    def decoded(cls, stored: bytes) -> "Reply":
        head, _, body = stored.partition(b"\n")
        status, _, location = head.decode().partition(" ")
        return cls(int(status), body, location or None)

    def response(self, *, replayed: bool = False) -> Response:
        headers = {"Location": self.location} if self.location else {}
        if replayed:
            headers[REPLAYED] = "true"
        return Response(self.body, self.status, headers, media_type="application/json")

    def headers(self, *, replayed: bool = False) -> list[tuple[bytes, bytes]]:
        """As ASGI wants them: those of `response`."""
        headers = [(b"content-length", b"%d" % len(self.body)), _JSON]
        if replayed:
            headers.insert(0, (REPLAYED.lower().encode(), b"true"))
        if self.location:
            headers.insert(0, (b"location", self.location.encode("latin-1")))
        return headers


def idempotency_key(request: Request) -> str | None:
    """The header Idempotency-Key. One that is no key is answered like any other invalid parameter."""
    key = request.headers.get(HEADER)
    if key is not None and not (0 < len(key) <= KEY_LENGTH_MAX and all("!" <= character <= "~" for character in key)):
        expected = f"1 to {KEY_LENGTH_MAX} visible ASCII characters are expected"
        raise RequestValidationError([{"type": "value_error", "loc": ("header", "Idempotency-Key"), "msg": expected}])
    return key


def understood(body: BaseModel | None) -> str:
    """What a body says, however it is spelled: the order of keys, white space, forms of numbers and instants, and defaults are gone."""
    return "{}" if body is None else body.model_dump_json(exclude_defaults=True)


def fingerprint(request: Request, *parts: str) -> bytes:
    """Stands for a request: its route, and the parts of what was understood."""
    return hashlib.sha256("\n".join((f"{request.method} {request.scope['path']}", *parts)).encode()).digest()


def once(request: Request, customer_id: str, body: BaseModel | None, render: Callable[[R], Reply]) -> Once | None:
    """The caller's key, if it sent one, with a fingerprint of what it asks for: the route, the customer and the body."""
    key = idempotency_key(request)
    if key is None:
        return None
    return Once(key, fingerprint(request, customer_id, understood(body)), lambda result: render(result).encoded())
