"""What conversations ask of the outside."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from core.conversations.conversation import Conversation, ConversationNotFound
from core.conversations.counterparty import Address
from core.conversations.message import Message
from core.customers.ports import Customers
from core.metering.journal import Journal
from core.metering.ports import UnitOfWork
from core.metering.reader import Position, Reader
from core.metering.repository import Repository


class MessageKey(NamedTuple):
    """What tells one message from every other: it is counted once, ever."""

    customer_id: str
    message_id: str


class ConversationKey(NamedTuple):
    """A customer's own conversation."""

    customer_id: str
    id: UUID


class Party(NamedTuple):
    """A customer and one counterparty of theirs: a number (E.164), or a name."""

    customer_id: str
    counterparty: str


class Sought(NamedTuple):
    """Which of a party's conversations: those that end after an instant and hold fewer messages than this, if there is a cap."""

    ends_after: datetime
    messages_below: int | None


class Messages(Repository[MessageKey, Message]):
    """Messages that were counted. Whoever asks has their customers' `conversations` locked."""

    def key(self, value: Message) -> MessageKey:
        return MessageKey(value.customer_id, value.id)


class Conversations(Repository[ConversationKey, Conversation]):
    """Conversations inside a unit of work: one by one, or those of a party. Whoever asks has their customers' `conversations` locked."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._of: dict[Party, dict[UUID, Conversation]] = {}

    def key(self, value: Conversation) -> ConversationKey:
        return ConversationKey(value.customer_id, value.id)

    @abstractmethod
    async def find_of(self, sought: Mapping[Party, Sought]) -> Iterable[Conversation]:
        """The conversations that are sought; those that are merged into others are left out."""

    async def load_of(self, sought: Mapping[Party, Sought]) -> None:
        """Reads them, so that `of` can answer. Once for a unit of work: what a list of commands seeks is known beforehand."""
        assert not self._of
        self._of = {party: {} for party in sought}
        for conversation in await self.find_of(sought) if sought else ():
            self._of[Party(conversation.customer_id, conversation.counterparty)][conversation.id] = conversation

    def of(self, party: Party) -> Collection[Conversation]:
        """A party's conversations as far as they were sought, and those that have come to be since; no merged ones."""
        return tuple(self._of[party].values())

    def save(self, value: Conversation) -> None:
        super().save(value)
        mine = self._of.get(Party(value.customer_id, value.counterparty))
        if mine is None:
            return
        if value.merged_into is None:
            self._journal.put(mine, value.id, value)
        else:
            self._journal.drop(mine, value.id)


class ConversationsUnitOfWork(UnitOfWork, Protocol):
    """A transaction over accounts, customers, conversations and messages."""

    @property
    def customers(self) -> Customers: ...

    @property
    def conversations(self) -> Conversations: ...

    @property
    def messages(self) -> Messages: ...


class PhoneNumbers(ABC):
    """Knows the world's phone numbers."""

    @abstractmethod
    def e164(self, number: str, region: str | None) -> str | None:
        """The number in its one international form; None where it is none.

        `region` (ISO 3166 alpha-2) is where a number without a country code is at home. Where a country's numbers have two forms that
        reach the same person, the answer is the same for both.
        """

    def number_of(self, address: Address, region: str | None) -> str | None:
        """The counterparty's number; None where it has none."""
        return None if address.number is None else self.e164(address.number, region)

    def known_as(self, address: Address, region: str | None) -> str:
        """What the counterparty counts as: its number, or else its name."""
        return self.number_of(address, region) or address.name


class ConversationReader(Reader[ConversationKey, Conversation]):
    """Conversations as they stand, newest first by their start. One that is part of another is answered with that."""

    missing = ConversationNotFound
    newest_by = "started_at"

    @abstractmethod
    async def newest_that_are(
        self,
        customer_id: str,
        limit: int,
        before: Position | None,
        *,
        at: datetime,
        active: bool | None = None,
        counterparty: str | None = None,
    ) -> Sequence[Conversation]:
        """As `newest`: those that are open at that instant, or those that are not; those with one counterparty. None: all of them."""
