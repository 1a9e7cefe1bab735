"""What a connection is at, and what ends it."""

import asyncio
from enum import IntEnum
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.frame.gathered import GATHERED, Gathered
from api.frame.stamp import request_id_of
from api.served import UNREAD, Served
from api.server import refusals
from api.server.bounds import IDLE_SECONDS_MAX, LEAVE_SECONDS_MAX, Bounds
from api.server.crowd import Crowd
from api.server.refusals import Refusal
from api.server.watch import Watch

STOP: Final = "tollgate.stop"
"""Where a request's scope says what ends a stream that would go on for ever."""


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


class Connection(HttpToolsProtocol):
    """One connection. How its requests are read is a matter of `FrontProtocol`."""

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
        self._asgi = {"version": self.asgi_version, "spec_version": "2.3"}
        self._is_crowded = False
        self._phase = Phase.OPENED
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

    def shutdown(self) -> None:
        """What is being answered is answered to its end; an answer that has none is told to find one."""
        super().shutdown()
        if self._running is not None and not self._running.response_complete:
            stop: Any = self._running.scope.get(STOP)
            if stop is not None:
                stop()

    @property
    def is_answering(self) -> bool:
        return self._phase is Phase.ANSWERING

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
        if self._phase < Phase.LAST:
            self._say(refusal)
        self._phase = Phase.LEAVING
        self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """What was asked before is answered first; and there is one answer to a request."""
        cycle = self.cycle
        if self._phase is Phase.BODY:
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        elif cycle is not None and not cycle.response_complete:
            self._phase = Phase.LAST
            cycle.keep_alive = False
            return
        self._say(refusal)
        self._phase, self._since = Phase.LEAVING, self._watch.now
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _say(self, refusal: Refusal) -> None:
        scope = {"headers": self.headers or []}
        self.transport.write(refusal.encoded(scope, self.server_state.default_headers))
        gathered: Gathered | None = self.app_state.get(GATHERED)
        if gathered is not None:
            served = Served(request_id_of(scope).decode("latin-1"), UNREAD)
            served.status, served.outcome = refusal.status.value, refusal.code
            served.end()
            gathered.add(served)
