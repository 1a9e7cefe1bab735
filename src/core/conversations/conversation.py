"""A conversation, and which one a message belongs to.

The rule. A conversation is the half-open window `started_at <= t < expires_at` of one customer and one counterparty. A message that
was sent at t

1. belongs to the conversation whose window contains t and, where it extends windows, moves its end to at least t + length;
2. otherwise to the first one that starts less than a length after t, whose start it moves back to t: it came late, and in its turn
   it would have opened that very conversation;
3. otherwise opens one, `[t, t + length)`. A message at exactly `expires_at` is such a one.

Which messages extend windows is the plan's to say: all (the default), those from the counterparty only, or none, so that windows are
fixed. A message in either direction opens a conversation, and counts into one.

A window only ever grows. Where growing brings its end past the start of the next conversation, the two are one: in their turn, the
messages of the later one would have found the earlier one open. The earlier one takes over the messages and the end of the later.
With a cap, a conversation that is full takes no message, and two that hold more than the cap together stay two; of several windows
that contain t, it is the one that started last.

A message may come 35 days late. It finds its place by the same rule among the conversations of then, by the plan's window of now, and
changes no others. A conversation counts in the period in which it starts, and what a late message opens is measured against the limit
of that period. Each conversation has one unit of usage. Where a start moves into an earlier period, the unit moves with it; where
conversations become one, the later one's unit is given back. In either case it is what is left of that very unit: where somebody has
corrected it, nothing is given back a second time, and no other conversation's unit is touched (`booking.py`).

What the order in which messages arrive can change, given that length and kind of the windows do not change meanwhile:

- Windows that every message extends, without a cap: nothing. A conversation is a longest run of messages each less than a length
  after the one before, `started_at` is its first, `expires_at` its last plus the length; so any order gives the conversations of the
  sorted one.
- Fixed windows: a window whose first message came late keeps the end that it had, and is longer than `length` by as much as that
  message was late; it never gets shorter. Messages within that excess count into it instead of opening the next one. So windows
  never overlap, and there are never more of them than in sorted order, but there may be fewer. Where nothing falls into an excess,
  the conversations are those of the sorted order but for their ends.
- Windows that only inbound messages extend, without a cap: nothing as long as no message comes after an outbound one that was sent
  later. Otherwise an outbound message may have opened a window whose first message it turns out not to be; as with a fixed one,
  that window keeps the end that it had, and takes what falls into the excess. So here too there may be fewer, and never more.
- A cap, windows that every message extends: there are never fewer conversations than in sorted order, which fills each before it
  opens the next. It may be more: where a late message connects two part-filled ones that hold more than the cap together, or comes
  more than a length after messages that were sent later. Which message counts into which of a run's conversations follows the order
  of arrival.
- A cap, other windows: both of the above, so there may be more or fewer.
- In all of them each message counts once, into one conversation, and a conversation never holds more than its cap.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from core.conversations.message import Direction
from core.conversations.window import Window
from core.errors import NotFoundError


class ConversationNotFound(NotFoundError):
    """The customer has no conversation with this id."""

    noun = "conversation"


class Conversation(NamedTuple):
    """What one unit of `conversations` pays for: the messages with one counterparty within one window.

    One that turned out to be part of another is `merged_into` that, and holds no messages any more.
    """

    id: UUID
    customer_id: str
    counterparty: str
    started_at: datetime
    expires_at: datetime
    message_count: int
    merged_into: UUID | None = None

    def covers(self, instant: datetime) -> bool:
        """Whether the instant lies within the window."""
        return self.started_at <= instant < self.expires_at

    def with_message(self, sent_at: datetime, direction: Direction, window: Window) -> "Conversation":
        """With one more message; the window grows to contain it and, where such a message extends it, a length after it."""
        return self._replace(
            started_at=min(self.started_at, sent_at),
            expires_at=max(self.expires_at, sent_at + window.length) if window.is_extended_by(direction) else self.expires_at,
            message_count=self.message_count + 1,
        )

    def with_all_of(self, other: "Conversation") -> "Conversation":
        """With the messages and the end of a later one that it has run into."""
        return self._replace(expires_at=max(self.expires_at, other.expires_at), message_count=self.message_count + other.message_count)


class Placement(NamedTuple):
    """What a message made of a counterparty's conversations.

    `conversation` is the one that it belongs to. `before` is what that was without it; None where the message opened it. `merged` are
    those that are part of it by now, as they were.
    """

    conversation: Conversation
    before: Conversation | None = None
    merged: tuple[Conversation, ...] = ()

    @property
    def opened(self) -> bool:
        return self.before is None

    def changed(self) -> Iterable[Conversation]:
        """Every conversation that is new or another now."""
        yield self.conversation
        for absorbed in self.merged:
            yield absorbed._replace(message_count=0, merged_into=self.conversation.id)


def place(
    sent_at: datetime,
    direction: Direction,
    conversations: Iterable[Conversation],
    window: Window,
    opened: Callable[[], Conversation],
) -> Placement:
    """The rule above. `conversations` are those of one counterparty that end after `sent_at`; full ones may be left out."""
    with_room = sorted((item for item in conversations if window.holds(item.message_count + 1)), key=lambda item: item.started_at)
    containing = [item for item in with_room if item.covers(sent_at)]
    following = [item for item in with_room if sent_at < item.started_at < sent_at + window.length]
    if not containing and not following:
        return Placement(opened())
    before = containing[-1] if containing else following[0]
    grown, merged = before.with_message(sent_at, direction, window), []
    for other in with_room:
        reached = before.expires_at <= other.started_at < grown.expires_at
        if reached and window.holds(grown.message_count + other.message_count):
            grown = grown.with_all_of(other)
            merged.append(other)
    return Placement(grown, before, tuple(merged))


def open_conversation(id: UUID, customer_id: str, counterparty: str, sent_at: datetime, window: Window) -> Conversation:
    """The conversation that a message opens."""
    return Conversation(
        id=id, customer_id=customer_id, counterparty=counterparty, started_at=sent_at, expires_at=sent_at + window.length, message_count=1
    )
