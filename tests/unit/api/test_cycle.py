"""An answer's head and body go out in one write, and nothing goes out after a connection's end."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from api.server.cycle import Cycle

LOGGER = logging.getLogger("test")
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}
STREAM: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


class Wire:
    """A transport that notes what happens to it."""

    def __init__(self) -> None:
        self.events: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        assert "closed" not in self.events
        self.events.append(data)

    def close(self) -> None:
        self.events.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.events


def body(content: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def cycle_on(wire: Wire, *, method: str = "GET", keep_alive: bool = True) -> Cycle:
    return Cycle(
        scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
        transport=wire,  # type: ignore[arg-type]
        flow=FlowControl(wire),  # type: ignore[arg-type]
        logger=LOGGER,
        access_logger=LOGGER,
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


async def test_head_and_body_are_one_write() -> None:
    wire = Wire()
    cycle = cycle_on(wire)
    await cycle.send(START)
    assert wire.events == []
    await cycle.send(body(b"12345"))
    assert wire.events == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12345"]
    assert cycle.response_complete


async def test_a_connection_that_ends_with_the_answer_ends_after_it() -> None:
    wire = Wire()
    cycle = cycle_on(wire, keep_alive=False)
    await cycle.send(START)
    await cycle.send(body(b"12345"))
    assert wire.events == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n12345", "closed"]


async def test_what_is_streamed_goes_out_piece_by_piece() -> None:
    wire = Wire()
    cycle = cycle_on(wire)
    await cycle.send(STREAM)
    for piece in (body(b"a", more=True), body(b"b", more=True), body(b"")):
        await cycle.send(piece)
    assert wire.events == [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"]


async def test_the_answer_to_head_has_no_body() -> None:
    wire = Wire()
    cycle = cycle_on(wire, method="HEAD")
    await cycle.send(START)
    await cycle.send(body(b"12345"))
    assert wire.events == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"]


async def test_nobody_who_has_left_is_written_to() -> None:
    wire = Wire()
    cycle = cycle_on(wire)
    await cycle.send(START)
    cycle.disconnected = True
    await cycle.send(body(b"12345"))
    assert wire.events == []


async def test_an_application_that_fails_before_its_body_is_answered_for() -> None:
    wire = Wire()
    cycle = cycle_on(wire)

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        raise ValueError

    await cycle.run_asgi(fails)
    answered, end = wire.events
    assert b"500 Internal Server Error" in answered  # type: ignore[operator]
    assert end == "closed"


async def test_a_body_that_is_too_long_is_a_mistake_and_the_transport_is_the_real_one_again() -> None:
    wire = Wire()
    cycle = cycle_on(wire)
    await cycle.send(START)
    with pytest.raises(RuntimeError, match="longer"):
        await cycle.send(body(b"123456"))
    assert cycle.transport is wire  # type: ignore[comparison-overlap]
