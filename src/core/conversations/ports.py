"""What conversations ask of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from core.conversations.conversation import Conversation
from core.conversations.message import Message, Receipt
from core.metering.ports import UnitOfWork


class MessageKey(NamedTuple):
    """What tells one message from every other: it is counted once, ever."""

    customer_id: str
    message_id: str


class Party(NamedTuple):
    """A customer and one counterparty of theirs (E.164)."""

    customer_id: str
    counterparty: str


class Sought(NamedTuple):
    """Which of a party's conversations: those that end after an instant and hold fewer messages than this, if there is a cap."""

    ends_after: datetime
    messages_below: int | None


@dataclass(slots=True)
class Known:
    """What there is, and what a list of commands adds to it: receipts of counted messages, conversations by party and id."""

    receipts: dict[MessageKey, Receipt]
    conversations: dict[Party, dict[UUID, Conversation]]


class Conversations(ABC):
    """Conversations and their messages inside a unit of work. Whoever asks has their customers' `conversations` locked."""

    @abstractmethod
    async def find(self, messages: Collection[MessageKey], sought: Mapping[Party, Sought]) -> Known:
        """The receipts of those of the messages that were counted, and the conversations that are sought.

        Conversations that are merged into others are left out.
        """

    @abstractmethod
    def save(self, conversation: Conversation) -> None:
        """A new conversation or one's next state, written by `UnitOfWork.commit`."""

    @abstractmethod
    def add(self, message: Message) -> None:
        """A message that was counted, written by `UnitOfWork.commit`."""


class ConversationsUnitOfWork(UnitOfWork, Protocol):
    """A transaction over accounts and conversations."""

    @property
    def conversations(self) -> Conversations: ...


class PhoneNumbers(ABC):
    """Knows the world's phone numbers."""

    @abstractmethod
    def e164(self, number: str, region: str | None) -> str | None:
        """The number in its one international form; None where it is none.

        `region` (ISO 3166 alpha-2) is where a number without a country code is at home.
        """


class ConversationReader(ABC):
    """Reads outside of any transaction."""

    @abstractmethod
    async def get(self, customer_id: str, id: UUID) -> Conversation:
        """The conversation, or the one that it is part of by now. Raises ConversationNotFound."""

    @abstractmethod
    async def newest(
        self, customer_id: str, limit: int, before: tuple[datetime, UUID] | None, at: datetime, *, active: bool | None
    ) -> Sequence[Conversation]:
        """Newest first, those that come after the given (started_at, id); open at that instant, or not, or either (None)."""
