"""What a request's head may say: where two readers could understand it in two ways, it is refused."""

from collections.abc import Sequence
from typing import Final

import httptools

from api.server import refusals
from api.server.refusals import Refused

HEALTH: Final = (b"/healthz", b"/readyz")
"""Answered where there are too many connections, too: a process that is busy is not to be killed for it."""


def require_usual(version: str, hosts: int, transfer_encodings: Sequence[bytes]) -> None:
    """Raises Refused. The parser itself refuses two lengths, and a length beside Transfer-Encoding."""
    if version not in ("1.1", "1.0"):
        raise Refused(refusals.OTHER_VERSION)
    if hosts > 1:
        raise Refused(refusals.TWO_HOSTS)
    if not hosts and version == "1.1":
        raise Refused(refusals.NO_HOST)
    if transfer_encodings and version == "1.0":
        raise Refused(refusals.CHUNKED_IN_1_0)
    if transfer_encodings not in ([], [b"chunked"]):
        raise Refused(refusals.NOT_CHUNKED)


def require_path(target: bytes) -> None:
    """Raises Refused for `*`, and for what only a proxy could do."""
    try:
        path = httptools.parse_url(target).path
    except httptools.HttpParserInvalidURLError:
        path = None
    if not path or not path.startswith(b"/"):
        raise Refused(refusals.NO_PATH)


def require_health(target: bytes) -> None:
    """Raises Refused for what is no health check."""
    if target.partition(b"?")[0] not in HEALTH:
        raise Refused(refusals.TOO_MANY_CONNECTIONS)
