"""Conversations' ports in memory, faithful to the SQL adapters."""

from collections.abc import Collection, Mapping
from typing import Self
from uuid import UUID

from core.conversations.conversation import Conversation
from core.conversations.message import Message
from core.conversations.ports import Conversations, Known, MessageKey, Party, PhoneNumbers, Sought
from core.errors import ConcurrentUpdate
from tests.unit.fakes.metering import FakeStore, FakeUnitOfWork


class ConversationsStore(FakeStore):
    """What is committed, conversations and messages included."""

    conversations: dict[tuple[str, UUID], Conversation]
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


class FakeConversations(Conversations):
    def __init__(self, store: ConversationsStore) -> None:
        self.kept: dict[tuple[str, UUID], Conversation] = {}
        self.added: list[Message] = []
        self._store = store

    async def find(self, messages: Collection[MessageKey], sought: Mapping[Party, Sought]) -> Known:
        self._store.reads += 1
        known = Known({key: self._store.messages[key].receipt for key in messages if key in self._store.messages}, {})
        for item in self._store.conversations.values():
            party = Party(item.customer_id, item.counterparty)
            if item.merged_into is None and party in sought and _matches(item, sought[party]):
                known.conversations.setdefault(party, {})[item.id] = item
        return known

    def save(self, conversation: Conversation) -> None:
        self.kept[conversation.customer_id, conversation.id] = conversation

    def add(self, message: Message) -> None:
        self.added.append(message)


def _matches(conversation: Conversation, sought: Sought) -> bool:
    room = sought.messages_below is None or conversation.message_count < sought.messages_below
    return room and conversation.expires_at > sought.ends_after


class FakeConversationsUnitOfWork(FakeUnitOfWork):
    store: ConversationsStore
    conversations: FakeConversations

    def __init__(self, store: ConversationsStore) -> None:
        super().__init__(store)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.conversations = FakeConversations(self.store)
        return self

    async def commit(self) -> None:
        added = {MessageKey(message.customer_id, message.id): message for message in self.conversations.added}
        if len(added) < len(self.conversations.added) or not self.store.messages.keys().isdisjoint(added):
            raise ConcurrentUpdate
        await super().commit()
        self.store.messages |= added
        self.store.conversations |= self.conversations.kept


class FakePhoneNumbers(PhoneNumbers):
    """Knows numbers that begin with `+`, and those of one region, `US`, that do not."""

    def e164(self, number: str, region: str | None) -> str | None:
        digits = "".join(character for character in number if character.isdigit())
        if not digits:
            return None
        if number.startswith("+"):
            return f"+{digits}"
        return f"+1{digits}" if region == "US" else None
