"""Conversations' ports in memory, faithful to the SQL adapters."""

from collections.abc import Iterable, Mapping
from typing import Self

from core.conversations.conversation import Conversation
from core.conversations.message import Message
from core.conversations.ports import ConversationKey, Conversations, MessageKey, Messages, Party, PhoneNumbers, Sought
from core.metering.journal import Journal
from tests.unit.fakes.customers import FakeCustomersUnitOfWork
from tests.unit.fakes.metering import FakeStore, InMemory

DIGITS_MIN = 10


class ConversationsStore(FakeStore):
    """What is committed, conversations and messages included."""

    conversations: dict[ConversationKey, Conversation]
    messages: dict[MessageKey, Message]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.conversations = {}
        self.messages = {}
        self.reads = 0

    def unit_of_work(self) -> "FakeConversationsUnitOfWork":
        return FakeConversationsUnitOfWork(self)

    def current(self) -> list[Conversation]:
        """Those that are not part of another, by their start."""
        standing = (item for item in self.conversations.values() if item.merged_into is None)
        return sorted(standing, key=lambda item: (item.started_at, item.counterparty))


class FakeConversations(InMemory[ConversationKey, Conversation], Conversations):
    def __init__(self, journal: Journal, store: ConversationsStore) -> None:
        super().__init__(journal, store.conversations)
        self._store = store

    async def find_of(self, sought: Mapping[Party, Sought]) -> Iterable[Conversation]:
        self._store.reads += 1
        standing = [item for item in self._store.conversations.values() if item.merged_into is None]
        parties = [(item, sought.get(Party(item.customer_id, item.counterparty))) for item in standing]
        return [item for item, asked in parties if asked is not None and _matches(item, asked)]


class FakeMessages(InMemory[MessageKey, Message], Messages):
    """Messages in memory."""


def _matches(conversation: Conversation, sought: Sought) -> bool:
    room = sought.messages_below is None or conversation.message_count < sought.messages_below
    return room and conversation.expires_at > sought.ends_after


class FakeConversationsUnitOfWork(FakeCustomersUnitOfWork):
    store: ConversationsStore
    conversations: FakeConversations
    messages: FakeMessages

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.conversations = self._add(FakeConversations(self.journal, self.store))
        self.messages = self._add(FakeMessages(self.journal, self.store.messages))
        return self

    def check(self) -> None:
        super().check()
        assert not any(self.messages.key(message) in self.store.messages for message in self.messages.saved()), "the primary key"


class FakePhoneNumbers(PhoneNumbers):
    """Knows numbers of ten digits or more that begin with `+`, and those of one region, `US`, that do not."""

    def e164(self, number: str, region: str | None) -> str | None:
        digits = "".join(character for character in number if character.isdigit())
        if len(digits) < DIGITS_MIN:
            return None
        if number.startswith("+"):
            return f"+{digits}"
        return f"+1{digits}" if region == "US" else None
