"""How a process's log looks: for people, or JSON for programs; a line each, with the id of the request where there is one."""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Final, Literal

from infrastructure.logs.withheld import traced

Format = Literal["readable", "json"]
Level = Literal["debug", "info", "warning", "error"]

_OTHERS: Final = logging.WARNING
"""What libraries tell is shown from here on."""

RequestId = Callable[[], str | None]


class Readable(logging.Formatter):
    """For people: instant, level, message, request id; a traceback below."""

    def __init__(self, request_id: RequestId) -> None:
        super().__init__()
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        parts = [_instant(record), record.levelname, _escaped(_message(record))]
        if id := self._request_id():
            parts.append(f"request_id={id}")
        line = " ".join(parts)
        return f"{line}\n{trace}" if (trace := _trace(record)) else line


class JsonLines(logging.Formatter):
    """For programs: one object a line."""

    def __init__(self, request_id: RequestId) -> None:
        super().__init__()
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, Any] = {
            "at": _instant(record),
            "level": record.levelname.lower(),
            "message": _message(record),
            "logger": record.name,
            "request_id": self._request_id(),
            "trace": _trace(record),
        }
        return json.dumps({name: value for name, value in content.items() if value is not None}, ensure_ascii=False)


def set_up(format: Format, level: Level, request_id: RequestId) -> None:
    """Makes this the process's only log, on standard error. `request_id` tells which request a line is about."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(request_id) if format == "json" else Readable(request_id))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(max(_OTHERS, _number(level)))
    logging.getLogger("tollgate").setLevel(_number(level))


def _number(level: Level) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _instant(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _message(record: logging.LogRecord) -> str:
    """Of asyncio's the first line: below it are the task and its error, as they are."""
    message = record.getMessage().strip()
    return message.partition("\n")[0] if record.name == "asyncio" else message


def _escaped(message: str) -> str:
    """A line stays one, whatever is in it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)


def _trace(record: logging.LogRecord) -> str | None:
    error = record.exc_info[1] if record.exc_info else None
    return traced(error) if error else None
