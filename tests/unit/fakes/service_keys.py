"""Service keys in memory, faithful to the SQL adapters."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import UUID

from core.access.ports import ServiceKeyReader, ServiceKeys
from core.access.service_keys import ServiceKey
from core.metering.journal import Journal
from tests.unit.fakes.metering import InMemory


class FakeServiceKeyReader(ServiceKeyReader):
    """`keys` is what is committed: tests may read and write it."""

    def __init__(self, keys: Iterable[ServiceKey] = ()) -> None:
        self.keys = {key.id: key for key in keys}
        self.locks: dict[UUID, asyncio.Lock] = {}

    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        return {id: self.keys[id] for id in ids if id in self.keys}

    async def all(self) -> Sequence[ServiceKey]:
        return sorted(self.keys.values(), key=lambda key: (key.created_at, key.id))

    def revoke(self, id: UUID, at: datetime) -> None:
        """What somebody else's committed revocation leaves."""
        self.keys[id] = self.keys[id].revoked(at)

    def unit_of_work(self) -> "FakeAccessUnitOfWork":
        """A transaction of its own: pass this method wherever a factory of units of work is asked for."""
        return FakeAccessUnitOfWork(self)


class FakeServiceKeys(InMemory[UUID, ServiceKey], ServiceKeys):
    def __init__(self, journal: Journal, reader: FakeServiceKeyReader) -> None:
        super().__init__(journal, reader.keys)
        self._locks = reader.locks
        self.held: list[asyncio.Lock] = []

    async def lock(self, id: UUID) -> None:
        lock = self._locks.setdefault(id, asyncio.Lock())
        await lock.acquire()
        self.held.append(lock)
        await self.load([id])


class FakeAccessUnitOfWork:
    """Serves the `AccessUnitOfWork` port."""

    service_keys: FakeServiceKeys

    def __init__(self, reader: FakeServiceKeyReader) -> None:
        self._reader = reader

    async def __aenter__(self) -> Self:
        self.service_keys = FakeServiceKeys(Journal(), self._reader)
        return self

    async def commit(self) -> None:
        self.service_keys.write()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while self.service_keys.held:
            self.service_keys.held.pop().release()
