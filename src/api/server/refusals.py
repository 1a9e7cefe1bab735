"""What is answered to what is no request, or none that can be taken: in the contract's form, and the connection ends."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from starlette.types import Scope

from api.frame.stamp import stamps

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status, a code and a sentence that says what to do."""

    status: HTTPStatus
    code: str
    message: str
    headers: Headers = field(default_factory=list)

    def encoded(self, scope: Scope, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The whole answer, as it is sent. `scope` has the headers that were read; `default_headers`: what the server adds to all."""
        body = json.dumps({"detail": {"error": self.code, "message": self.message}}).encode()
        headers = [
            *default_headers,
            *self.headers,
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            *stamps(scope),
            (b"connection", b"close"),
        ]
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}".encode(), *(name + b": " + value for name, value in headers)]
        return b"\r\n".join([*lines, b"", body])


class Refused(Exception):
    """Raised while a head is read."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _bad(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "bad_request", message)


NOT_HTTP: Final = _bad("This is not a valid HTTP/1.1 request.")
NO_HOST: Final = _bad("A request needs the header Host.")
TWO_HOSTS: Final = _bad("A request has the header Host once.")
NO_PATH: Final = _bad("A path is expected, such as GET /api/v1/plans: this is no proxy.")
CHUNKED_IN_1_0: Final = _bad("Transfer-Encoding needs HTTP/1.1: send Content-Length, or the request as HTTP/1.1.")
NOT_CHUNKED: Final = _bad("Transfer-Encoding: chunked is the only one that is read.")
TOO_MUCH_FRAMING: Final = _bad("The body has more chunk marks than content: send larger chunks, and no trailers.")
TOO_MANY_AT_ONCE: Final = _bad("At most 100 requests are sent on one connection before the first of them is answered.")
OTHER_VERSION: Final = Refusal(
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    "http_version_not_supported",
    "HTTP/1.1 and HTTP/1.0 are spoken here: send the request as HTTP/1.1.",
)
HEAD_TOO_LARGE: Final = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The request line and the headers have at most 65,536 bytes together."
)
HEAD_TOO_LATE: Final = Refusal(
    HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request line and the headers took too long: send the request again, at once."
)
BODY_TOO_LATE: Final = Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The body came too slowly: send the request again, at once.")
TOO_MANY_CONNECTIONS: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded",
    "There are too many connections: try again, and keep connections open between requests.",
    [(b"retry-after", b"1")],
)
