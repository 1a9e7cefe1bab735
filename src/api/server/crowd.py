"""What happens where there are more connections than there may be."""

from collections.abc import Sized
from typing import Protocol

from api.server.bounds import SPARE_CONNECTIONS_MAX
from api.server.refusals import TOO_MANY_CONNECTIONS, Refusal


class Expellable(Protocol):
    """A connection."""

    @property
    def is_answering(self) -> bool:
        """Whether it has asked, and not got its answer."""

    def expel(self, refusal: Refusal) -> None:
        """Ends it at once."""


class Crowd:
    """The connections beyond the bound. Each is there for one answer: of a health check, or that there are too many."""

    def __init__(self, connections: Sized, connections_max: int) -> None:
        self._connections = connections
        self._connections_max = connections_max
        self._members: dict[Expellable, None] = {}

    def takes(self, connection: Expellable) -> bool:
        """Whether the new connection is one too many. Without a spare place it gets that of the oldest one that has not asked yet."""
        if len(self._connections) <= self._connections_max:
            return False
        self._members[connection] = None
        if len(self._members) > SPARE_CONNECTIONS_MAX:
            waiting = next(member for member in self._members if not member.is_answering)
            self.left_by(waiting)
            waiting.expel(TOO_MANY_CONNECTIONS)
        return True

    def left_by(self, connection: Expellable) -> None:
        """It has ended."""
        self._members.pop(connection, None)
