"""What the repositories of the conversations product promise beyond `test_contract_of_repositories.py`: those of a party."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from core.conversations.conversation import Conversation
from core.conversations.message import Message
from core.conversations.ports import ConversationKey, MessageKey, Party, Sought
from tests.integration.kinds import NOW, messages
from tests.integration.units_of_work import INSTANT, Storage
from tests.unit.fakes.conversations import ConversationsStore

GUEST, OTHER_GUEST = "+14155552671", "+436641234567"
TABLE = Party("bistro", GUEST)
HOUR = timedelta(hours=1)
NO_CAP = Sought(NOW, None)


@pytest.fixture
def fake_store() -> ConversationsStore:
    return ConversationsStore()


def conversation(
    number: int, *, customer: str = "bistro", counterparty: str = GUEST, ends: timedelta = HOUR, count: int = 1
) -> Conversation:
    return Conversation(UUID(int=number), customer, counterparty, NOW - HOUR, NOW + ends, count)


def merged(one: Conversation, into: int) -> Conversation:
    return one._replace(message_count=0, merged_into=UUID(int=into))


async def keep(storage: Storage, *things: Conversation | Message) -> None:
    async with storage.open() as uow:
        for thing in things:
            (uow.messages if isinstance(thing, Message) else uow.conversations).save(thing)
        await uow.commit()


async def of(storage: Storage, party: Party, sought: Sought = NO_CAP) -> set[Conversation]:
    """The party's own, as somebody finds them who comes later."""
    async with storage.open() as uow:
        await uow.conversations.load_of({party: sought})
        return set(uow.conversations.of(party))


async def test_a_conversation_that_is_saved_without_a_message_is_stored(storage: Storage) -> None:
    await keep(storage, conversation(1))
    async with storage.open() as uow:
        key = ConversationKey("bistro", UUID(int=1))
        await uow.conversations.load([key])
        assert uow.conversations.get(key) == conversation(1)
    assert await of(storage, TABLE) == {conversation(1)}


async def test_a_message_that_is_saved_without_its_conversation_is_stored(storage: Storage) -> None:
    sent = messages("bistro").first
    await keep(storage, sent)
    async with storage.open() as uow:
        key = MessageKey("bistro", sent.id)
        await uow.messages.load([key])
        assert uow.messages.get(key) == sent


async def test_a_party_has_its_own_conversations_and_no_others(storage: Storage) -> None:
    own = [conversation(1), conversation(2, ends=2 * HOUR)]
    others = [conversation(1, customer="cafe"), conversation(3, counterparty=OTHER_GUEST)]
    await keep(storage, *own, *others)
    async with storage.open() as uow:
        parties = [TABLE, Party("cafe", GUEST), Party("bistro", OTHER_GUEST), Party("cafe", OTHER_GUEST)]
        await uow.conversations.load_of(dict.fromkeys(parties, NO_CAP))
        assert [set(uow.conversations.of(party)) for party in parties] == [set(own), {others[0]}, {others[1]}, set()]


async def test_each_party_is_sought_by_its_own_bounds_and_the_bounds_are_exact(storage: Storage) -> None:
    ended, open_still = conversation(1, ends=timedelta(0)), conversation(2, ends=INSTANT)
    with_room, full = conversation(3, counterparty=OTHER_GUEST, count=9), conversation(4, counterparty=OTHER_GUEST, count=10)
    await keep(storage, ended, open_still, with_room, full)
    async with storage.open() as uow:
        others = Party("bistro", OTHER_GUEST)
        await uow.conversations.load_of({TABLE: Sought(NOW, None), others: Sought(NOW - HOUR, 10)})
        assert set(uow.conversations.of(TABLE)) == {open_still}
        assert set(uow.conversations.of(others)) == {with_room}
    assert await of(storage, TABLE, Sought(NOW - INSTANT, None)) == {ended, open_still}
    assert await of(storage, others, Sought(NOW, 11)) == {with_room, full}


async def test_what_is_part_of_another_conversation_is_no_partys(storage: Storage) -> None:
    one, other = conversation(1), conversation(2)
    await keep(storage, one, merged(other, into=1))
    assert await of(storage, TABLE) == {one}
    await keep(storage, merged(one, into=2), other)
    assert await of(storage, TABLE) == {other}


async def test_a_party_that_was_not_sought_is_not_known(storage: Storage) -> None:
    await keep(storage, conversation(1))
    async with storage.open() as uow:
        await uow.conversations.load_of({Party("cafe", GUEST): NO_CAP})
        uow.conversations.save(conversation(2))
        with pytest.raises(KeyError):
            uow.conversations.of(TABLE)
        await uow.commit()
    assert await of(storage, TABLE) == {conversation(1), conversation(2)}


async def test_a_party_has_what_was_saved_as_it_was_saved_last_until_it_is_taken_back(storage: Storage) -> None:
    one, other = conversation(1), conversation(2)
    await keep(storage, one, other)
    async with storage.open() as uow:
        await uow.conversations.load_of({TABLE: NO_CAP})
        grown, new = one._replace(message_count=2), conversation(3)
        uow.conversations.save(grown)
        mark = uow.journal.mark()
        uow.conversations.save(new)
        uow.conversations.save(grown._replace(message_count=3))
        uow.conversations.save(merged(other, into=1))
        assert set(uow.conversations.of(TABLE)) == {grown._replace(message_count=3), new}
        uow.journal.undo(mark)
        assert set(uow.conversations.of(TABLE)) == {grown, other}
        await uow.commit()
    assert await of(storage, TABLE) == {grown, other}


async def test_merging_what_was_opened_by_the_same_list_of_commands_leaves_a_row_that_leads_on(storage: Storage) -> None:
    async with storage.open() as uow:
        await uow.conversations.load_of({TABLE: NO_CAP})
        uow.conversations.save(conversation(1))
        uow.conversations.save(conversation(2))
        uow.conversations.save(merged(conversation(2), into=1))
        assert set(uow.conversations.of(TABLE)) == {conversation(1)}
        await uow.commit()
    async with storage.open() as uow:
        key = ConversationKey("bistro", UUID(int=2))
        await uow.conversations.load([key])
        assert uow.conversations.get(key) == merged(conversation(2), into=1)


async def test_an_id_belongs_to_one_message_for_good(storage: Storage) -> None:
    first, again = messages("bistro").first, messages("bistro").next
    await keep(storage, first)
    with pytest.raises((asyncpg.UniqueViolationError, AssertionError)):
        await keep(storage, again)
    async with storage.open() as uow:
        await uow.messages.load([MessageKey("bistro", first.id)])
        assert uow.messages.get(MessageKey("bistro", first.id)) == first
