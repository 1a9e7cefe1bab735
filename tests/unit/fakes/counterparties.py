"""One counterparty that messages are exchanged with. Times are minutes of one day."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from core.conversations.conversation import Conversation, Placement, open_conversation, place
from core.conversations.message import Direction
from core.conversations.window import Window
from tests.unit.fakes.conversations_in_order import Span
from tests.unit.fakes.examples import NOW

DAY = NOW.replace(hour=0)


def after(minutes: float) -> timedelta:
    return timedelta(minutes=minutes)


class Counterparty:
    """One counterparty's conversations, and the units that are booked for them."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.conversations: dict[UUID, Conversation] = {}
        self.booked = 0
        self._opened = 0

    def receive(self, minute: float, direction: Direction = Direction.INBOUND) -> Placement:
        def opened() -> Conversation:
            self._opened += 1
            return open_conversation(UUID(int=self._opened), "acme", "+1", DAY + after(minute), self.window)

        placement = place(DAY + after(minute), direction, self.conversations.values(), self.window, opened)
        self.conversations |= {item.id: item for item in placement.changed()}
        for merged in placement.merged:
            del self.conversations[merged.id]
        self.booked += placement.opened - len(placement.merged)
        return placement

    def receive_all(self, minutes: Iterable[float]) -> "Counterparty":
        for minute in minutes:
            self.receive(minute)
        return self

    def spans(self) -> list[Span]:
        return sorted(Span(item.started_at, item.expires_at, item.message_count) for item in self.conversations.values())

    def in_minutes(self) -> list[tuple[float, float, int]]:
        return [((span[0] - DAY) / after(1), (span[1] - DAY) / after(1), span[2]) for span in self.spans()]
