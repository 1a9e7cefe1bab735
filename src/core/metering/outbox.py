"""The outbox: events that are written by the transaction that made them true, and handed out later by others."""

from core.events.event import Event
from core.metering.journal import Journal


class Outbox:
    """Collects events for the commit of a unit of work. What a refused command added is taken back by the unit of work's journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.added: list[Event] = []

    def add(self, event: Event) -> None:
        """The event is written by the commit. One whose `once` was told before is left out, and that is no error."""
        self._journal.add(self.added, event)
