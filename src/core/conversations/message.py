"""A message, and what its sender was told."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from core.conversations.counterparty import LENGTH_MAX
from core.errors import DomainError
from core.metering.account import BACKDATING_MAX, CLOCK_SKEW_MAX


class Direction(StrEnum):
    """Inbound: from the counterparty, so it has happened and is always taken. Outbound: to the counterparty, so it may be refused."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Channel(StrEnum):
    """How the message was sent. It is noted, and makes no difference."""

    QUEUED = "queued"
    DIRECT = "direct"


class InvalidPhoneNumber(DomainError):
    """A message was to be sent to a counterparty that can be no phone number, and is no name either."""

    def __init__(self, number: str, region: str | None) -> None:
        super().__init__(number, region)
        self.number, self.region = number[:LENGTH_MAX], region
        without_region = "" if region or number.startswith("+") else "; one without a country code needs the customer's phone_region"
        expected = f"one such as '+14155552671' is expected{without_region}"
        self.message = f"{self.number!r} is not a phone number: {expected}. An id has a letter or an @ in it."

    def facts(self) -> Mapping[str, object]:
        return {"counterparty": self.number, "phone_region": self.region}


class InvalidSentAt(DomainError):
    """A message dated further back, or further ahead, than it can still be put into its conversation."""

    def __init__(self, sent_at: datetime, earliest: datetime, latest: datetime) -> None:
        super().__init__(sent_at, earliest, latest)
        self.sent_at, self.earliest, self.latest = sent_at, earliest, latest
        self.message = f"sent_at must lie between {earliest.isoformat()} and {latest.isoformat()}."

    def facts(self) -> Mapping[str, object]:
        return {"sent_at": self.sent_at, "earliest": self.earliest, "latest": self.latest}


class MessageConflict(DomainError):
    """The customer has another message with this id: to or from somebody else."""

    def __init__(self, known: "Message") -> None:
        super().__init__(known)
        self.known = known
        whom = f"{'from' if known.direction is Direction.INBOUND else 'to'} {known.receipt.counterparty!r}"
        self.message = f"Message {known.id!r} was counted already, as one {whom}: use an id of its own for each message."

    def facts(self) -> Mapping[str, object]:
        """What the message is that has the id."""
        known = self.known
        return {
            "message_id": known.id,
            "direction": known.direction.value,
            "counterparty": known.receipt.counterparty,
            "conversation_id": str(known.receipt.conversation_id),
        }


def require_recent(sent_at: datetime, now: datetime) -> None:
    """Raises InvalidSentAt where that is over 35 days ago or over 5 minutes ahead, as for other usage that is recorded."""
    earliest, latest = now - BACKDATING_MAX, now + CLOCK_SKEW_MAX
    if not earliest <= sent_at <= latest:
        raise InvalidSentAt(sent_at, earliest, latest)


class Standing(NamedTuple):
    """Where the customer's conversations stood, in the period that contained that moment."""

    used: int
    limit: int | None
    remaining: int | None


class Receipt(NamedTuple):
    """What a message did, told once and kept: its repeat is told the same.

    The conversation is as the message left it. `over_limit`: it opened the conversation above the limit.
    """

    conversation_id: UUID
    counterparty: str
    started_at: datetime
    expires_at: datetime
    message_count: int
    new_conversation: bool
    usage: Standing
    over_limit: bool


class Message(NamedTuple):
    """A message that has been counted. `id` is the caller's, and names one message of the customer for ever."""

    customer_id: str
    id: str
    direction: Direction
    channel: Channel
    sent_at: datetime
    recorded_at: datetime
    receipt: Receipt
