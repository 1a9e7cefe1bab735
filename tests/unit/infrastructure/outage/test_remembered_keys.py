"""Service keys while the database is away."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from core.access.ports import ServiceKeyReader
from core.access.service_keys import Scope, ServiceKey, generate
from core.errors import StorageUnavailable
from infrastructure.outage.remembered_keys import RememberedServiceKeys
from infrastructure.outage.state import Outage
from tests.unit.fakes.examples import NOW

KEY, _ = generate(UUID(int=1), Scope.WRITE, NOW)


class Keys(ServiceKeyReader):
    """A database that may be away."""

    def __init__(self) -> None:
        self.is_away = False
        self.stored = {KEY.id: KEY}

    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        if self.is_away:
            raise StorageUnavailable
        return {id: self.stored[id] for id in ids if id in self.stored}

    async def all(self) -> Sequence[ServiceKey]:
        return list(self.stored.values())


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


async def test_a_key_is_known_for_as_long_as_is_allowed_since_the_database_showed_it() -> None:
    keys, outage, clock = Keys(), Outage(), Clock()
    remembered = RememberedServiceKeys(keys, outage, clock, timedelta(hours=1))
    outage.admits = {"sessions"}
    assert await remembered.find([KEY.id]) == {KEY.id: KEY}
    keys.is_away = True
    clock.now += timedelta(minutes=59)
    assert await remembered.find([KEY.id]) == {KEY.id: KEY}
    with pytest.raises(StorageUnavailable):
        await remembered.find([UUID(int=2)])
    clock.now += timedelta(minutes=1)
    with pytest.raises(StorageUnavailable):
        await remembered.find([KEY.id])


async def test_nothing_is_known_without_the_database_where_no_feature_admits() -> None:
    keys, outage = Keys(), Outage()
    remembered = RememberedServiceKeys(keys, outage, Clock(), timedelta(hours=1))
    await remembered.find([KEY.id])
    outage.admits = {"sessions"}
    keys.is_away = True
    with pytest.raises(StorageUnavailable):
        await remembered.find([KEY.id])


async def test_a_key_that_is_gone_or_revoked_is_so_at_once_while_the_database_answers() -> None:
    keys, outage = Keys(), Outage()
    outage.admits = {"sessions"}
    remembered = RememberedServiceKeys(keys, outage, Clock(), timedelta(hours=1))
    await remembered.find([KEY.id])
    keys.stored = {}
    assert await remembered.find([KEY.id]) == {}
    keys.is_away = True
    with pytest.raises(StorageUnavailable):
        await remembered.find([KEY.id])
