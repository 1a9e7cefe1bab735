"""What every answer carries, whoever answers: the request's id, and that it is neither to be guessed at nor to be kept."""

import os
import re
from itertools import count
from typing import Any, Final

from starlette.types import Message, Scope, Send

from api.served import Served

REQUEST_ID: Final = b"x-request-id"
_FIXED: Final = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_GIVEN: Final = re.compile(rb"[!-~]{1,128}")
"""A caller's own id is taken where it is 1 to 128 visible characters."""

_process: Final = os.urandom(8).hex()
_numbers: Final = count(1)


def request_id_of(scope: Scope) -> bytes:
    """The caller's, or a fresh one: no other request has it, in whatever process. The same whenever it is asked for."""
    found: bytes | None = scope.get("tollgate_request_id")
    if found is None:
        given = next((value for name, value in scope["headers"] if name == REQUEST_ID), None)
        found = given if given is not None and _GIVEN.fullmatch(given) else f"{_process}-{os.getpid():x}-{next(_numbers):x}".encode()
        scope["tollgate_request_id"] = found
    return found


def stamps(scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that every answer has."""
    return ((REQUEST_ID, request_id_of(scope)), *_FIXED)


def stamped(scope: Scope, send: Send, served: Served) -> Send:
    """A `send` that adds them, and notes the status. It is no coroutine function, which would take as long again as what it does."""

    def stamp(message: Message) -> Any:
        if message["type"] == "http.response.start":
            served.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID, request_id_of(scope)), *_FIXED]
        return send(message)

    return stamp
