"""What the ports of service keys promise, kept by PostgreSQL and by the fakes that the unit tests trust."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from core.access.ports import AccessUnitOfWork, ServiceKeyReader
from core.access.revoke_key import RevokeKey
from core.access.service_keys import Scope, ServiceKey, generate
from core.products import BUILT_IN, OPTIONS
from infrastructure.ids import new_id
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.engine.plans import PlanCatalog
from infrastructure.sql.engine.service_keys import SqlServiceKeyReader
from infrastructure.sql.engine.unit_of_work import SqlUnitOfWork
from infrastructure.sql.registry import REPOSITORIES
from tests.unit.fakes.service_keys import FakeServiceKeyReader

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


class Keys(NamedTuple):
    """The two ports over one storage."""

    unit_of_work: Callable[[], AccessUnitOfWork]
    reader: ServiceKeyReader


@pytest.fixture(params=["PostgreSQL", "fake"])
async def keys(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Keys]:
    if request.param == "fake":
        fake = FakeServiceKeyReader()
        yield Keys(fake.unit_of_work, fake)
        return
    engine = create_engine(database_url)
    connections = Connections(engine)
    catalog = PlanCatalog(BUILT_IN, OPTIONS)
    yield Keys(lambda: SqlUnitOfWork(connections, catalog, new_id, REPOSITORIES), SqlServiceKeyReader(connections))
    await connections.close()
    await engine.dispose()


def new_key(at: datetime = NOW, name: str | None = "deploy") -> ServiceKey:
    return generate(new_id(), Scope.WRITE, at, name)[0]


async def keep(keys: Keys, *created: ServiceKey) -> None:
    async with keys.unit_of_work() as uow:
        for key in created:
            uow.service_keys.save(key)
        await uow.commit()


async def test_a_key_is_found_as_it_was_saved(keys: Keys) -> None:
    named, nameless, unknown = new_key(), new_key(name=None), new_key()
    await keep(keys, named, nameless)
    assert await keys.reader.find([named.id, nameless.id, unknown.id]) == {named.id: named, nameless.id: nameless}
    assert await keys.reader.find([]) == {}


async def test_all_keys_are_listed_oldest_first(keys: Keys) -> None:
    later, first = new_key(LATER), new_key(NOW - timedelta(days=9_000))
    await keep(keys, later, first)
    listed = [key.id for key in await keys.reader.all()]
    assert listed.index(first.id) < listed.index(later.id)


async def test_without_a_commit_nothing_is_stored(keys: Keys) -> None:
    key = new_key()
    async with keys.unit_of_work() as uow:
        uow.service_keys.save(key)
    assert await keys.reader.find([key.id]) == {}


async def test_a_revocation_is_stored_and_nothing_else_changes(keys: Keys) -> None:
    key = new_key()
    await keep(keys, key)
    async with keys.unit_of_work() as uow:
        await uow.service_keys.lock(key.id)
        assert uow.service_keys.get(key.id) == key
        uow.service_keys.save(key.revoked(LATER))
        assert uow.service_keys.get(key.id) == key.revoked(LATER)
        assert await keys.reader.find([key.id]) == {key.id: key}
        await uow.commit()
    assert await keys.reader.find([key.id]) == {key.id: replace(key, revoked_at=LATER)}


async def test_locking_a_key_that_does_not_exist_finds_none(keys: Keys) -> None:
    async with keys.unit_of_work() as uow:
        id = new_id()
        await uow.service_keys.lock(id)
        assert uow.service_keys.get(id) is None


async def test_of_two_who_revoke_a_key_at_once_the_first_ones_time_stays(keys: Keys) -> None:
    key = new_key()
    await keep(keys, key)
    async with keys.unit_of_work() as first:
        await first.service_keys.lock(key.id)
        second = asyncio.create_task(RevokeKey(keys.unit_of_work, lambda: LATER).execute(key.id))
        await asyncio.sleep(0.1)
        assert not second.done()
        first.service_keys.save(key.revoked(NOW))
        await first.commit()
    assert (await second).revoked_at == NOW
    assert (await keys.reader.find([key.id]))[key.id].revoked_at == NOW
