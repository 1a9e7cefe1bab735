"""How much of large bodies a process holds at a time: many at once would fill the memory, each within its own bound."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Message, Receive

from api.frame.body import BODY_BYTES_MAX
from core.errors import Overloaded


class Allowance:
    """For one process. What a body announces is set aside before a byte of it is read; of one that announces nothing, what has come."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.held_bytes = 0

    @contextmanager
    def lease(self) -> Iterator["Lease"]:
        """For one request, to its end: what is made of a body takes a multiple of its memory."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            self.held_bytes -= lease.held_bytes


class Lease:
    """What one request holds of it."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self.held_bytes = 0

    def counting(self, receive: Receive, announced: str | None) -> Receive:
        """Raises Overloaded, when it is called, where the body does not fit in any more. One of the usual size always does."""
        received = 0

        async def within() -> Message:
            nonlocal received
            if not received and announced is not None:
                self._cover(int(announced))
            message = await receive()
            received += len(message.get("body", b""))
            self._cover(received)
            return message

        return within

    def _cover(self, size: int) -> None:
        more = size - self.held_bytes
        if size <= BODY_BYTES_MAX or more <= 0:
            return
        if self._allowance.held_bytes + more > self._allowance.bytes_max:
            raise Overloaded
        self._allowance.held_bytes += more
        self.held_bytes = size
