"""The log's lines."""

import asyncio
import json
import logging

from infrastructure.logs.formats import JsonLines, Readable


def record(message: str, *values: object, name: str = "tollgate", error: Exception | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, None) if error else None
    return logging.LogRecord(name, logging.WARNING, "here.py", 1, message, values, exc_info)


def test_a_line_for_people_stays_one_whatever_is_in_it() -> None:
    line = Readable(lambda: "order-17").format(record("Read %s", "a\n2026-01-01 ERROR forged\x1b[2J"))
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.endswith("request_id=order-17")
    assert " WARNING Read a" in line


def test_a_json_line_has_the_trace_and_the_id_beside_the_message() -> None:
    content = json.loads(JsonLines(lambda: "order-17").format(record("Failed", error=KeyError("anna"))))
    assert (content["level"], content["message"], content["request_id"]) == ("warning", "Failed", "order-17")
    assert content["trace"].endswith("KeyError")
    assert "anna" not in str(content)


def test_where_there_is_no_request_none_is_named() -> None:
    assert "request_id" not in json.loads(JsonLines(lambda: None).format(record("Well")))
    assert "request_id" not in Readable(lambda: None).format(record("Well"))


async def test_what_asyncio_tells_of_a_lost_task_is_without_its_error() -> None:
    async def fails() -> None:
        raise KeyError("anna")

    task = asyncio.ensure_future(fails())
    await asyncio.wait([task])
    message = f"Task exception was never retrieved\nfuture: {task!r}"
    assert "anna" in message
    task.exception()
    line = Readable(lambda: None).format(record(message.replace("%", "%%"), name="asyncio"))
    assert line.endswith("Task exception was never retrieved")
