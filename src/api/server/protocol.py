"""uvicorn's protocol, with bounds on what a connection may make the process hold, and for how long."""

import asyncio
from enum import IntEnum
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.server import heads, refusals
from api.server.bounds import HEAD_BYTES_MAX, IDLE_SECONDS_MAX, LEAVE_SECONDS_MAX, PIPELINED_MAX, Bounds
from api.server.crowd import Crowd
from api.server.refusals import Refusal, Refused
from api.server.watch import Watch

PIECE_BYTES_MAX: Final = HEAD_BYTES_MAX
"""So much is given to the parser at once, so that a head is never longer than is counted."""
_FRAMING: Final = 8
"""For each byte of a body, at most so many of chunk marks: a chunk of one byte has five."""


class Phase(IntEnum):
    """What a connection is at."""

    OPENED = 0
    IDLE = 1
    """Between an answer and the next request."""
    HEAD = 2
    BODY = 3
    """Also of a request that is answered already: what is left of its body is thrown away."""
    ANSWERING = 4
    LAST = 5
    """What was asked is answered; what came after it was no request, and nothing more is read."""
    LEAVING = 6
    """Refused; what else comes is thrown away."""


_OPENED, _IDLE, _HEAD, _BODY, _ANSWERING, _LAST, _LEAVING = Phase
_NOTED: Final = frozenset({b"host", b"expect", b"upgrade", b"transfer-encoding"})


class FrontProtocol(HttpToolsProtocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(
        self,
        bounds: Bounds,
        watch: Watch,
        crowd: Crowd,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._bounds = bounds
        self._watch = watch
        self._crowd = crowd
        self._is_crowded = False
        self._phase = _OPENED
        self._since = watch.now
        self._head_bytes = 0
        self._hosts = 0
        self._upgrades = False
        self._transfer_encodings: list[bytes] = []
        self._piece_bytes = 0
        self._body_bytes = 0
        self._framing_bytes = 0
        self._running: RequestResponseCycle | None = None
        """What is being answered; `cycle` is what was asked last."""
        self._unsent_bytes = 0
        self._unsent_since = 0

    # What the transport reports.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._is_crowded = self._crowd.takes(self)
        self._watch.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)
        if self._is_crowded:
            self._crowd.left_by(self)

    def data_received(self, data: bytes) -> None:
        size = len(data)
        if size <= PIECE_BYTES_MAX and not self._head_bytes:
            self._feed(data, size)
            return
        start = 0
        while start < size and self._phase < _LAST:
            room = PIECE_BYTES_MAX - self._head_bytes
            piece = data[start : start + room]
            self._feed(piece, len(piece))
            start += room

    def _feed(self, piece: bytes, size: int) -> None:
        if self._phase >= _LAST:
            return
        self._piece_bytes = size
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            return  # the request is answered as if it had not asked for it, and the last one
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.refusal if isinstance(cause, Refused) else refusals.NOT_HTTP)
            return
        if self._phase is _HEAD:
            self._head_bytes += size
            if self._head_bytes >= HEAD_BYTES_MAX:
                self._refuse(refusals.HEAD_TOO_LARGE)
        elif self._phase is _BODY:
            self._framing_bytes += size
            if self._framing_bytes > 2 * HEAD_BYTES_MAX + _FRAMING * self._body_bytes:
                self._refuse(refusals.TOO_MUCH_FRAMING)

    # What the parser reports.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # Of a head that begins behind another request, that piece is not counted.
        self._head_bytes = 0 if self._phase <= _IDLE else -self._piece_bytes
        self._phase, self._since = _HEAD, self._watch.now
        self._hosts = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is not _HEAD:
            return  # a trailer: nothing here asks for any
        name = name.lower()
        if name in _NOTED:
            self._note(name, value)
        self.headers.append((name, value))

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"upgrade":
            self._upgrades = True
        else:
            self._transfer_encodings.append(value.strip().lower())

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version != "1.1" or self._hosts != 1 or self._transfer_encodings:
            encodings, self._transfer_encodings = self._transfer_encodings, []
            heads.require_usual(version, self._hosts, encodings)
        if not self.url.startswith(b"/"):
            heads.require_path(self.url)
        if self._is_crowded:
            heads.require_health(self.url)
        if len(self.pipeline) >= PIPELINED_MAX:
            raise Refused(refusals.TOO_MANY_AT_ONCE)
        super().on_headers_complete()
        self._phase, self._since = _BODY, self._watch.now
        self._head_bytes = self._body_bytes = self._framing_bytes = 0
        if self._is_crowded or (self._upgrades and self.parser.should_upgrade()):
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            self._phase, self._since = _IDLE, self._watch.now
            return
        self._phase = _ANSWERING
        cycle.more_body = False
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._phase is _ANSWERING:
            self._phase, self._since = _IDLE, self._watch.now
        elif self._phase is _BODY:
            self.cycle.body = bytearray()
            if self.expect_100_continue and not self._body_bytes:
                self.transport.close()  # the caller may keep its body now: what comes next would be taken for it

    # What ends a connection.

    @property
    def is_answering(self) -> bool:
        return self._phase is _ANSWERING

    def look(self, now: int) -> None:
        """Once a second: whoever has taken too long has to go. Time in which nothing is read here does not count."""
        self._look_at_unsent(now)
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self._since += 1
        seconds = now - self._since
        match self._phase:
            case Phase.OPENED if seconds > self._bounds.head_seconds_max:
                self.transport.close()
            case Phase.IDLE if seconds > IDLE_SECONDS_MAX:
                self.transport.close()
            case Phase.HEAD if seconds > self._bounds.head_seconds_max:
                self._refuse(refusals.HEAD_TOO_LATE)
            case Phase.BODY if seconds > self._body_seconds_max():
                self._refuse(refusals.BODY_TOO_LATE)
            case Phase.LEAVING if seconds > LEAVE_SECONDS_MAX:
                self.transport.close()

    def _body_seconds_max(self) -> int:
        if self.cycle.response_complete:
            return self._bounds.body_seconds_max
        return self._bounds.body_seconds_max + self._body_bytes // self._bounds.body_bytes_per_second_min

    def _look_at_unsent(self, now: int) -> None:
        """Whoever takes nothing of its answers for as long as a body may take has to go, too."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent_bytes:
            self._unsent_since = now
        elif now - self._unsent_since > self._bounds.body_seconds_max:
            self.transport.abort()
        self._unsent_bytes = unsent

    def expel(self, refusal: Refusal) -> None:
        """At once, whatever it sends."""
        if self._phase < _LAST:
            self._say(refusal)
        self._phase = _LEAVING
        self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """What was asked before is answered first; and there is one answer to a request."""
        cycle = self.cycle
        if self._phase is _BODY:
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        elif cycle is not None and not cycle.response_complete:
            self._phase = _LAST
            cycle.keep_alive = False
            return
        self._say(refusal)
        self._phase, self._since = _LEAVING, self._watch.now
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _say(self, refusal: Refusal) -> None:
        self.transport.write(refusal.encoded(self.headers or [], self.server_state.default_headers))
