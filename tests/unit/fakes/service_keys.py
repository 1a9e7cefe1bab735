"""Service keys in memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from core.access.ports import ServiceKeys
from core.access.service_keys import ServiceKey


class FakeServiceKeys(ServiceKeys):
    def __init__(self, keys: Iterable[ServiceKey] = ()) -> None:
        self._keys = {key.id: key for key in keys}

    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        return {id: self._keys[id] for id in ids if id in self._keys}

    async def add(self, key: ServiceKey) -> None:
        self._keys[key.id] = key

    async def all(self) -> Sequence[ServiceKey]:
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))

    async def revoke(self, id: UUID, at: datetime) -> bool:
        key = self._keys.get(id)
        if key is not None and key.revoked_at is None:
            self._keys[id] = replace(key, revoked_at=at)
        return key is not None
