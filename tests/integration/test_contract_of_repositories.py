"""What every repository promises, kept by PostgreSQL and by the fakes that the unit tests trust."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.registry import REPOSITORIES
from tests.integration.kinds import KINDS, NOTES, PLANS, Kind, Things, same_fields
from tests.integration.service import Databases
from tests.integration.units_of_work import FakeStorage, SqlStorage, Storage, connections_to
from tests.unit.fakes.notes import Note

WRITTEN_BY_OTHERS = {"records", "events", "missing", "outbox"}
"""What these know is written with the accounts: `test_contract_of_units_of_work.py` is about it."""

OF_NO_CUSTOMER = {"event_types", "service_keys"}
"""`test_contract_of_service_keys.py` and `test_event_types.py` are about these."""

OWN_ID = {"id", "key", "customer_id", "operation_id"}
COUNTED = {"practised_sessions"}
"""A plan's progress, which is counted from the practice sessions and is no part of what is stored."""


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture(scope="module")
def database_url(databases: Databases) -> Iterator[str]:
    """One for all the tests of this file: each has customers of its own."""
    url = databases.fresh()
    yield url
    databases.drop(url)


@pytest.fixture(scope="module")
async def prepared(database_url: str) -> None:
    async with connections_to(database_url) as connections:
        storage = SqlStorage(connections)
        await storage.create(NOTES.table)
        for plan in PLANS:
            await storage.publish(plan)


@pytest.fixture
async def connections(database_url: str, prepared: None) -> AsyncIterator[Connections]:
    async with connections_to(database_url) as connections:
        yield connections


@pytest.fixture(params=["PostgreSQL", "fake"])
def storage(request: pytest.FixtureRequest, kind: Kind) -> Storage:
    return FakeStorage(kind.store()) if request.param == "fake" else SqlStorage(request.getfixturevalue("connections"), NOTES)


@pytest.fixture
async def things(kind: Kind, storage: Storage) -> Things:
    things = kind.things(uuid4().hex)
    for repository, needed in things.needs.items():
        await keep(storage, repository, needed)
    return things


async def keep(storage: Storage, repository: str | type[Any], *things: Any) -> None:
    """Commits them."""
    async with storage.open() as uow:
        for thing in things:
            (uow.repository(repository) if isinstance(repository, type) else getattr(uow, repository)).save(thing)
        await uow.commit()


async def stored(storage: Storage, kind: Kind, *things: Any) -> list[Any]:
    """What goes by the keys of these things, for whoever comes later."""
    async with storage.open() as uow:
        repository = repository_of(uow, kind)
        await repository.load(repository.key(thing) for thing in things)
        return [repository.get(repository.key(thing)) for thing in things]


def repository_of(uow: Any, kind: Kind) -> Any:
    return uow.repository(kind.repository) if isinstance(kind.repository, type) else getattr(uow, kind.repository)


def test_every_repository_is_among_these() -> None:
    """What is kept just as it is has one repository, whatever the kind: that of notes stands for all of them."""
    with_a_port = {name for name in REPOSITORIES if isinstance(name, str)}
    assert {kind.repository for kind in KINDS} - {Note} | WRITTEN_BY_OTHERS | OF_NO_CUSTOMER == with_a_port


def test_a_next_state_differs_in_every_field_but_the_key(kind: Kind) -> None:
    things = kind.things("acme")
    assert same_fields(things.first, things.next) <= OWN_ID | COUNTED | ({"plan_version"} if kind.repository == "customers" else set())


async def test_what_was_saved_is_found_as_it_was(storage: Storage, kind: Kind, things: Things) -> None:
    await keep(storage, kind.repository, things.first, things.other)
    assert await stored(storage, kind, things.first, things.other) == [things.first, things.other]


async def test_every_field_of_what_was_saved_is_found_as_it_was(storage: Storage, kind: Kind, things: Things) -> None:
    await keep(storage, kind.repository, things.next)
    assert await stored(storage, kind, things.next) == [things.next]


async def test_what_was_saved_without_being_loaded_is_known_and_written(storage: Storage, kind: Kind, things: Things) -> None:
    async with storage.open() as uow:
        repository = repository_of(uow, kind)
        repository.save(things.first)
        assert repository.get(repository.key(things.first)) == things.first
        assert list(repository.saved()) == [things.first]
        await uow.commit()
    assert await stored(storage, kind, things.first) == [things.first]


async def test_of_several_states_the_last_one_counts(storage: Storage, kind: Kind, things: Things) -> None:
    async with storage.open() as uow:
        repository = repository_of(uow, kind)
        for state in (things.first, things.other, things.next):
            repository.save(state)
        assert repository.get(repository.key(things.first)) == things.next
        assert list(repository.saved()) == [things.next, things.other]
        await uow.commit()
    assert await stored(storage, kind, things.first, things.other) == [things.next, things.other]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.changes], ids=str)
async def test_a_further_state_of_what_is_stored_takes_its_place_in_every_field(storage: Storage, kind: Kind, things: Things) -> None:
    await keep(storage, kind.repository, things.first, things.other)
    async with storage.open() as uow:
        repository = repository_of(uow, kind)
        await repository.load([repository.key(things.first)])
        assert repository.get(repository.key(things.first)) == things.first
        repository.save(things.next)
        assert repository.get(repository.key(things.first)) == things.next
        await uow.commit()
    assert await stored(storage, kind, things.first, things.other) == [things.next, things.other]
    await keep(storage, kind.repository, things.first)
    assert await stored(storage, kind, things.first) == [things.first]


async def test_what_is_known_is_not_read_again(storage: Storage, kind: Kind, things: Things) -> None:
    await keep(storage, kind.repository, things.first)
    async with storage.open() as uow:
        repository = repository_of(uow, kind)
        key = repository.key(things.first)
        await repository.load([key, key])
        repository.save(things.next)
        await repository.load([key])
        assert repository.get(key) == things.next


async def test_what_was_never_loaded_is_a_mistake_and_no_answer(storage: Storage, kind: Kind, things: Things) -> None:
    await keep(storage, kind.repository, things.first)
    async with storage.open() as uow:
        repository = repository_of(uow, kind)
        key = repository.key(things.first)
        assert [repository.key(found) for found in await repository.find([key])] == [key]
        with pytest.raises(KeyError):
            repository.get(key)


async def test_what_does_not_exist_or_is_another_customers_is_not_found(storage: Storage, kind: Kind, things: Things) -> None:
    await keep(storage, kind.repository, things.first)
    anothers = kind.things(uuid4().hex)
    assert await stored(storage, kind, anothers.first, things.other, things.first) == [None, None, things.first]
    async with storage.open() as uow:
        assert list(await repository_of(uow, kind).find([])) == []


async def test_nothing_is_seen_before_the_commit_and_nothing_is_written_without_it(storage: Storage, kind: Kind, things: Things) -> None:
    with suppress(RuntimeError):
        async with storage.open() as uow:
            repository_of(uow, kind).save(things.first)
            assert await stored(storage, kind, things.first) == [None]
            raise RuntimeError
    async with storage.open() as uow:
        repository_of(uow, kind).save(things.first)
    assert await stored(storage, kind, things.first) == [None]


async def test_undoing_takes_back_what_was_saved_since_the_mark_and_nothing_else(storage: Storage, kind: Kind, things: Things) -> None:
    async with storage.open() as uow:
        repository = repository_of(uow, kind)
        first, other = repository.key(things.first), repository.key(things.other)
        await repository.load([other])
        repository.save(things.first)
        mark = uow.journal.mark()
        repository.save(things.next)
        repository.save(things.other)
        uow.journal.undo(mark)
        assert (repository.get(first), repository.get(other)) == (things.first, None)
        assert list(repository.saved()) == [things.first]
        await uow.commit()
    assert await stored(storage, kind, things.first, things.other) == [things.first, None]


async def test_undoing_makes_what_was_never_loaded_unknown_again(storage: Storage, kind: Kind, things: Things) -> None:
    async with storage.open() as uow:
        repository = repository_of(uow, kind)
        mark = uow.journal.mark()
        repository.save(things.first)
        uow.journal.undo(mark)
        with pytest.raises(KeyError):
            repository.get(repository.key(things.first))
        await uow.commit()
    assert await stored(storage, kind, things.first) == [None]
