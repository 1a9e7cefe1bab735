"""What readers promise: things as they stand, a customer's own, and lists in pages that leave nothing out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from core.conversations.conversation import Conversation, ConversationNotFound
from core.conversations.ports import ConversationKey
from core.errors import NotFoundError
from core.learning.learning_plan import LearningPlanNotFound
from core.metering.account import CustomerNotFound
from core.metering.owned import OwnedNotFound
from core.metering.reader import Reader
from core.metering.reservations import Reservation, ReservationNotFound
from core.operations.operation import Operation, OperationNotFound, OperationStatus
from core.operations.ports import OperationKey, WholeOperation
from core.sessions.session import Session, SessionNotFound
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.engine.customers import SqlCustomerReader
from infrastructure.sql.engine.reservations import SqlReservationReader
from infrastructure.sql.products.conversations import SqlConversationReader
from infrastructure.sql.products.learning import SqlLearningPlanReader
from infrastructure.sql.products.operations import SqlOperationReader
from infrastructure.sql.products.sessions import SqlSessionReader
from tests.integration import kinds
from tests.integration.kinds import LATER, NOTES, NOW, PLANS
from tests.integration.units_of_work import INSTANT, FakeStorage, SqlStorage, Storage
from tests.unit.fakes.notes import Note
from tests.unit.fakes.sessions import FakeSessionReader, SessionStore


async def keep(storage: Storage, repository: str | type[Any], *things: Any) -> None:
    async with storage.open() as uow:
        for thing in things:
            repository_of(uow, repository).save(thing)
        await uow.commit()


def repository_of(uow: Any, repository: str | type[Any]) -> Any:
    return uow.repository(repository) if isinstance(repository, type) else getattr(uow, repository)


# A list in pages: coaching sessions, conversations, and what is kept just as it is. The fake is that of sessions; no unit test reads
# the others.


@dataclass(frozen=True)
class Listing:
    """A reader that lists, and how the things are made that it lists: by a number, a customer, and the instant that orders them."""

    storage: Storage
    reader: Reader[Any, Any]
    repository: str | type[Any]
    made: Callable[..., Any]
    instant: str

    async def keep(self, *things: Any) -> None:
        await keep(self.storage, self.repository, *things)

    async def page(self, size: int, after: Any = None, customer: str = "acme") -> list[Any]:
        before = None if after is None else (getattr(after, self.instant), after.id)
        assert before == (after and self.reader.position(after))
        return list(await self.reader.newest(customer, size, before))

    async def pages(self, size: int) -> list[list[Any]]:
        """All of them, as somebody reads them who turns the pages to the end."""
        pages = [await self.page(size)]
        while pages[-1]:
            assert len(pages) < 20, "the pages have no end"
            pages.append(await self.page(size, after=pages[-1][-1]))
        return pages[:-1]


def session(number: int, customer: str = "acme", at: datetime = NOW) -> Session:
    made: Session = replace(kinds.sessions(customer).first, id=UUID(int=number), created_at=at)
    return made


def conversation(number: int, customer: str = "acme", at: datetime = NOW, **fields: Any) -> Conversation:
    made: Conversation = kinds.conversations(customer).first._replace(id=UUID(int=number), started_at=at, **fields)
    return made


def note(number: int, customer: str = "acme", at: datetime = NOW) -> Note:
    made: Note = replace(kinds.notes(customer).first, id=UUID(int=number), created_at=at)
    return made


@pytest.fixture
async def notes(connections: Connections) -> SqlStorage:
    """A storage that keeps notes, too."""
    storage = SqlStorage(connections, NOTES)
    await storage.create(NOTES.table)
    return storage


def operation(number: int, customer: str = "acme", at: datetime = NOW, status: OperationStatus = OperationStatus.RUNNING) -> Operation:
    made: Operation = replace(kinds.operations(customer).first, id=f"{number}", created_at=at, status=status)
    return made


def reservation(number: int, customer: str = "acme", at: datetime = NOW, **fields: Any) -> Reservation:
    made: Reservation = replace(kinds.reservations(customer).first, id=UUID(int=number), created_at=at, **fields)
    return made


LISTINGS = {
    "sessions": (SqlSessionReader, session, "created_at"),
    "conversations": (SqlConversationReader, conversation, "started_at"),
    "operations": (SqlOperationReader, operation, "created_at"),
    "reservations": (SqlReservationReader, reservation, "created_at"),
}


@pytest.fixture(params=["sessions of the fake", "notes", *LISTINGS])
def listing_of_nobody(request: pytest.FixtureRequest) -> Listing:
    if request.param == "sessions of the fake":
        store = SessionStore()
        return Listing(FakeStorage(store), FakeSessionReader(store), "sessions", session, "created_at")
    connections = request.getfixturevalue("connections")
    if request.param == "notes":
        return Listing(request.getfixturevalue("notes"), NOTES.reader(connections), Note, note, "created_at")
    reader, made, instant = LISTINGS[request.param]
    return Listing(SqlStorage(connections), reader(connections), request.param, made, instant)


async def customers(storage: Storage, *ids: str) -> None:
    for plan in PLANS:
        await storage.publish(plan)
    for id in ids or ("acme", "globex"):
        await storage.put(kinds.customers(id).first)


@pytest.fixture
async def listing(listing_of_nobody: Listing) -> Listing:
    """With two customers."""
    await customers(listing_of_nobody.storage)
    return listing_of_nobody


def numbers(page: list[Any]) -> list[int]:
    return [int(getattr(thing.id, "int", thing.id)) for thing in page]


async def test_the_newest_come_first_and_those_of_one_instant_by_their_ids(listing: Listing) -> None:
    made = [listing.made(n, at=NOW + (n + 1) // 2 * INSTANT) for n in (3, 1, 6, 2, 5, 4)]
    await listing.keep(*made)
    page = await listing.page(10)
    assert numbers(page) == [6, 5, 4, 3, 2, 1]
    assert all(thing in made for thing in page)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_pages_show_everything_once_wherever_they_are_cut(listing: Listing, size: int) -> None:
    await listing.keep(*(listing.made(n, at=NOW - n // 3 * timedelta(days=400)) for n in range(7)))
    pages = await listing.pages(size)
    assert [number for page in pages for number in numbers(page)] == [2, 1, 0, 5, 4, 3, 6]
    assert all(len(page) == size for page in pages[:-1])


async def test_what_is_made_while_somebody_reads_does_not_move_the_pages(listing: Listing) -> None:
    await listing.keep(*(listing.made(n) for n in (1, 2, 3)))
    (last,) = await listing.page(1)
    await listing.keep(listing.made(4), listing.made(5, at=LATER))
    assert numbers(await listing.page(10, after=last)) == [2, 1]


async def test_a_list_is_a_customers_own(listing: Listing) -> None:
    await listing.keep(listing.made(1), listing.made(1, "globex"), listing.made(2, "globex"))
    assert await listing.page(10) == [listing.made(1)]
    assert await listing.page(10, after=listing.made(9, "globex", LATER)) == [listing.made(1)]


async def test_who_has_nothing_yet_has_an_empty_list_and_who_does_not_exist_has_none(listing: Listing) -> None:
    await listing.keep(listing.made(1, "globex"))
    assert await listing.page(10) == []
    assert await listing.page(10, after=listing.made(1, "globex")) == []
    with pytest.raises(CustomerNotFound) as refusal:
        await listing.page(10, customer="nobody")
    assert refusal.value.identity == "nobody"


class ByTitle(SqlSessionReader):
    async def either(self, customer_id: str, one: str, other: str) -> list[Session]:
        return list(await self._page(customer_id, 10, None, "title = :one OR title = :other", one=one, other=other))


async def test_a_further_condition_narrows_a_list_and_never_widens_it(connections: Connections) -> None:
    mine = [replace(session(n), title=title) for n, title in enumerate(("first", "second", "third"))]
    await customers(SqlStorage(connections))
    await keep(SqlStorage(connections), "sessions", *mine, *(replace(one, customer_id="globex") for one in mine))
    assert await ByTitle(connections).either("acme", "first", "second") == [mine[1], mine[0]]


class ByFinish(SqlSessionReader):
    """Lists by a column that no index has in order."""

    newest_by = "finished_at"


async def test_the_order_is_the_same_where_no_index_has_it(connections: Connections) -> None:
    reader = ByFinish(connections)
    await customers(SqlStorage(connections))
    await keep(SqlStorage(connections), "sessions", *(replace(session(n, at=NOW - n % 3 * INSTANT), finished_at=NOW) for n in (2, 4, 1, 3)))
    assert numbers(list(await reader.newest("acme", 2, None))) == [4, 3]
    assert numbers(list(await reader.newest("acme", 2, (NOW, UUID(int=3))))) == [2, 1]


# One thing by its key.


@dataclass(frozen=True)
class One:
    """A reader of one thing, and how it is asked for what goes by a repository's key."""

    repository: str
    reader: type[Any]
    missing: type[NotFoundError]
    things: Callable[[str], kinds.Things]
    ask: Callable[[Any, Any], Awaitable[Any]] = lambda reader, key: reader.get(key)

    def __str__(self) -> str:
        return self.repository


ONES = [
    One("sessions", SqlSessionReader, SessionNotFound, kinds.sessions),
    One("conversations", SqlConversationReader, ConversationNotFound, kinds.conversations),
    One("learning_plans", SqlLearningPlanReader, LearningPlanNotFound, kinds.learning_plans),
    One("operations", SqlOperationReader, OperationNotFound, kinds.operations),
    One("customers", SqlCustomerReader, CustomerNotFound, kinds.customers),
    One("reservations", SqlReservationReader, ReservationNotFound, kinds.reservations),
]


@pytest.mark.parametrize("one", ONES, ids=str)
async def test_a_thing_is_read_as_it_stands_by_its_owner_only(connections: Connections, one: One) -> None:
    storage, reader = SqlStorage(connections), one.reader(connections)
    if one.repository == "customers":
        for plan in PLANS:
            await storage.publish(plan)
    else:
        await customers(storage)
    things, others = one.things("acme"), one.things("globex")
    await keep(storage, one.repository, things.first, things.other)
    async with storage.open() as uow:
        key_of = getattr(uow, one.repository).key
    assert await one.ask(reader, key_of(things.first)) == things.first
    with pytest.raises(one.missing):
        await one.ask(reader, key_of(others.first))
    await keep(storage, one.repository, others.first)
    assert [await one.ask(reader, key_of(thing)) for thing in (things.other, others.first)] == [things.other, others.first]


async def test_a_note_is_read_as_it_stands_by_its_owner_only(connections: Connections, notes: SqlStorage) -> None:
    mine, reader = kinds.notes("acme"), NOTES.reader(connections)
    await customers(notes)
    await keep(notes, Note, mine.next, kinds.notes("globex").other)
    assert await reader.one("acme", str(mine.next.id)) == mine.next
    for id in (mine.other.id, UUID(int=9)):
        with pytest.raises(OwnedNotFound, match=f"No desk note '{id}'"):
            await reader.one("acme", str(id))


async def test_a_fake_session_is_read_by_its_owner_only() -> None:
    store = SessionStore()
    await keep(FakeStorage(store), "sessions", session(1))
    reader = FakeSessionReader(store)
    assert await reader.get(next(iter(store.sessions))) == session(1)
    with pytest.raises(SessionNotFound):
        await reader.get(next(iter(store.sessions))._replace(customer_id="globex"))


async def test_an_operation_is_read_with_its_own_steps_in_order(connections: Connections) -> None:
    storage = SqlStorage(connections)
    await customers(storage, "ada", "bob")
    own = [replace(kinds.steps("ada").first, id=f"step {n}", position=n) for n in (10, 2, 1, 9)]
    for customer in ("ada", "bob"):
        await keep(storage, "operations", kinds.operations(customer).first, kinds.operations(customer).other)
    await keep(storage, "steps", *own, replace(own[0], operation_id="another"), kinds.steps("bob").first)
    whole = await SqlOperationReader(connections).whole(OperationKey("ada", "scan"))
    assert whole == WholeOperation(kinds.operations("ada").first, sorted(own, key=lambda step: step.position))


@pytest.mark.parametrize("one", [one for one in ONES if one.repository != "customers"], ids=str)
async def test_what_is_left_of_a_customer_that_is_gone_is_read_by_nobody(connections: Connections, one: One) -> None:
    storage, reader = SqlStorage(connections), one.reader(connections)
    await keep(storage, one.repository, one.things("acme").first)
    async with storage.open() as uow:
        key = getattr(uow, one.repository).key(one.things("acme").first)
    with pytest.raises(CustomerNotFound):
        await one.ask(reader, key)


# Conversations: what is part of another leads to that, and some are open.


async def test_a_conversation_that_is_part_of_another_is_read_as_that_and_listed_once(connections: Connections) -> None:
    storage, reader = SqlStorage(connections), SqlConversationReader(connections)
    await customers(storage)
    first, second, last = (conversation(n, merged_into=into) for n, into in ((1, UUID(int=2)), (2, UUID(int=3)), (3, None)))
    await keep(storage, "conversations", *(conversation(n, "globex", message_count=9) for n in (2, 3)), first, second, last)
    assert [await reader.get(ConversationKey("acme", UUID(int=n))) for n in (1, 2, 3)] == [last] * 3
    assert await reader.newest("acme", 10, None) == [last]
    with pytest.raises(ConversationNotFound):
        await reader.get(ConversationKey("globex", UUID(int=1)))


async def test_conversations_are_listed_by_whether_they_are_open_at_an_instant(connections: Connections) -> None:
    storage, reader = SqlStorage(connections), SqlConversationReader(connections)
    await customers(storage)
    ended = [conversation(n, at=NOW - timedelta(days=1), expires_at=NOW) for n in (1, 2)]
    active = [conversation(n, at=NOW - timedelta(days=n), expires_at=NOW + INSTANT) for n in (3, 4)]
    others = [conversation(5, "globex"), conversation(6, expires_at=NOW, merged_into=UUID(int=1)), conversation(7, merged_into=UUID(int=3))]
    await keep(storage, "conversations", *ended, *active, *others)
    for is_active, expected in ((True, active), (False, ended[::-1])):
        assert await reader.newest_that_are("acme", 10, None, active=is_active, at=NOW) == expected
        (page,) = await reader.newest_that_are("acme", 1, None, active=is_active, at=NOW)
        assert await reader.newest_that_are("acme", 10, (page.started_at, page.id), active=is_active, at=NOW) == expected[1:]
    assert await reader.newest_that_are("acme", 10, None, at=NOW) == await reader.newest("acme", 10, None)


async def test_conversations_are_listed_by_their_counterparty_and_by_whether_they_are_open(connections: Connections) -> None:
    storage, reader = SqlStorage(connections), SqlConversationReader(connections)
    ended = [conversation(n, at=NOW - timedelta(days=1), expires_at=NOW, counterparty="12345@lid") for n in (1, 2)]
    active = [conversation(n, at=NOW - timedelta(days=n - 2), expires_at=NOW + INSTANT, counterparty="12345@lid") for n in (3, 4)]
    others = [conversation(5), conversation(6, "globex", counterparty="12345@lid")]
    merged = conversation(7, counterparty="12345@lid", merged_into=UUID(int=3))
    await customers(storage)
    await keep(storage, "conversations", *ended, *active, *others, merged)
    in_order = {True: active, False: ended[::-1], None: [active[0], *ended[::-1], active[1]]}
    in_order[None].sort(key=lambda item: (item.started_at, item.id), reverse=True)
    for is_active, expected in in_order.items():
        for size in (1, 2, 10):
            found: list[Conversation] = []
            while page := await reader.newest_that_are(
                "acme", size, (found[-1].started_at, found[-1].id) if found else None, at=NOW, active=is_active, counterparty="12345@lid"
            ):
                found += page
            assert found == expected
    assert await reader.newest_that_are("acme", 10, None, at=NOW, counterparty="+12345") == []
    with pytest.raises(CustomerNotFound):
        await reader.newest_that_are("nobody", 10, None, at=NOW, counterparty="12345@lid")
