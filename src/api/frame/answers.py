"""Answers on the wire."""

import functools
import inspect
import json
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from starlette.types import Send

from api.errors import answer_to
from api.replies import Reply
from api.served import note_refusal

_JSON: Final = (b"content-type", b"application/json")


class Answer(NamedTuple):
    """As ASGI wants it."""

    status: int
    headers: Iterable[tuple[bytes, bytes]]
    body: bytes

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def answer_with(reply: Reply, *, replayed: bool = False) -> Answer:
    """What was done."""
    return Answer(reply.status, reply.headers(replayed=replayed), reply.body)


def answer_without_body(status: int) -> Answer:
    """What was done, where there is nothing to say; the headers are FastAPI's."""
    return Answer(status, [_JSON], b"")


def answer_of(error: Exception) -> Answer:
    """What the one error table says of what was raised."""
    status, content, headers = answer_to(error)
    note_refusal(content)
    body = _encoded(content)
    given = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return Answer(status, [*given, (b"content-length", b"%d" % len(body)), _JSON], body)


def responding(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as FastAPI can run it: FastAPI knows responses, and not our replies."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def waiting(**values: Any) -> Any:
            return _response_of(await function(**values))

        return waiting
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return function

    @functools.wraps(function)
    def plain(**values: Any) -> Any:
        return _response_of(function(**values))

    return plain


def _response_of(result: Any) -> Any:
    return result.response() if isinstance(result, Reply) else result


def _encoded(content: Any) -> bytes:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")  # a lone surrogate, as JSON writes it
