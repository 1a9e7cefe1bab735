"""One request and its answer, written at once: each write is a call to the system, which takes as long as reading the request."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class _Joined:
    """In the transport's place while an answer is made: what is written comes together."""

    __slots__ = ("_pieces", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._pieces.append(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))


class Cycle(RequestResponseCycle):
    """uvicorn's, whose head waits for the first piece of the body, and goes with it."""

    _head: Any = None

    async def send(self, message: Any) -> None:
        """As ASGI asks for it. Nothing has been answered until there is something of a body: a later head takes the place of the first."""
        head = self._head
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = message
            return
        if head is None:
            await super().send(message)
            return
        self._head = None
        transport = self.transport
        joined = _Joined(transport)
        self.transport = cast(asyncio.Transport, joined)
        try:
            await super().send(head)
            await super().send(message)
        finally:
            self.transport = transport
            joined.flush()
