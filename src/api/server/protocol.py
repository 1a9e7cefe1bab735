"""uvicorn's protocol, with bounds on what a connection may make the process hold, and for how long."""

import asyncio
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.server import heads, refusals
from api.server.bounds import HEAD_BYTES_MAX, PIPELINED_MAX
from api.server.connection import Connection, Phase
from api.server.cycle import Cycle
from api.server.refusals import Refused

PIECE_BYTES_MAX: Final = HEAD_BYTES_MAX
"""So much is given to the parser at once, so that a head is never longer than is counted."""
_FRAMING: Final = 8
"""For each byte of a body, at most so many of chunk marks: a chunk of one byte has five."""


_, _IDLE, _HEAD, _BODY, _ANSWERING, _LAST, _ = Phase
_NOTED: Final = frozenset({b"host", b"expect", b"upgrade", b"transfer-encoding"})


class FrontProtocol(Connection):
    """A connection as its requests are read."""

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
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
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
        cycle = self._asked(version)
        if self._is_crowded or (self._upgrades and self.parser.should_upgrade()):
            cycle.keep_alive = False
        self._phase, self._since = _BODY, self._watch.now
        self._head_bytes = self._body_bytes = self._framing_bytes = 0
        if self._running is None or self._running.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _asked(self, version: str) -> RequestResponseCycle:
        target = httptools.parse_url(self.url)
        path = target.path.decode("ascii")
        self.scope = {
            "type": "http",
            "asgi": self._asgi,  # type: ignore[typeddict-item]
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]
            "root_path": "",
            "method": self.parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": target.path,
            "query_string": target.query or b"",
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        return self.cycle

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

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
