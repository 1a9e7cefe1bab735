"""One line in the log for each request, as JSON or for people."""

import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Final

from api.served import Served

_PLAIN: Final = re.compile(r"[\w.:@/+-]+")


class AccessLines:
    """Writes the lines of requests that were answered. `write` takes them encoded, and waits for nothing."""

    def __init__(self, line: Callable[[Served], str], write: Callable[[Sequence[bytes]], None]) -> None:
        self._line = line
        self._write = write

    def __call__(self, answered: Sequence[Served]) -> None:
        self._write([self._line(served).encode(errors="backslashreplace") for served in answered])


def as_json(served: Served) -> str:
    """A JSON object."""
    customer = "null" if served.customer is None else encode_basestring(served.customer)
    return (
        f'{{"at":"{_instant(served.ended)}","level":"info","message":"request","request_id":{encode_basestring(served.request_id)},'
        f'"customer":{customer},"operation":"{served.operation}","method":"{served.method}","route":"{served.route}",'
        f'"status":{served.status or "null"},"outcome":"{served.outcome}","ms":{1000 * served.seconds:.3f}}}\n'
    )


def as_text(served: Served) -> str:
    """For people. Whatever callers chose is in quotes where it could be taken for something else."""
    customer = "" if served.customer is None else f" customer={_quoted(served.customer)}"
    return (
        f"{_instant(served.ended)} INFO {served.method} {served.route} {served.status or '-'} {served.outcome}"
        f" {1000 * served.seconds:.1f} ms operation={served.operation}{customer} request_id={_quoted(served.request_id)}\n"
    )


def _instant(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int(1000 * (seconds - whole)):03d}Z"


@lru_cache(maxsize=4)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else encode_basestring(text)
