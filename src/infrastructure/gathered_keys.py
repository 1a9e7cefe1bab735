"""Many callers' key lookups in one."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from core.access.ports import ServiceKeys
from core.access.service_keys import ServiceKey
from core.errors import StorageUnavailable

LOOKUP_SECONDS_MAX: Final = 5.0
"""One lookup that never ends would hold up every caller of the process: it is given up, as StorageUnavailable."""


class GatheredServiceKeys(ServiceKeys):
    """While one lookup is with the database, the calls that come in gather, and then share the next one.

    A call never takes part in a lookup that had started before it: a key whose revocation was committed before a request came in
    is always seen as revoked. A caller that gives up leaves the others undisturbed; an error reaches all callers of its lookup.
    One instance serves one event loop.
    """

    def __init__(self, keys: ServiceKeys, lookup_seconds_max: float = LOOKUP_SECONDS_MAX) -> None:
        self._keys = keys
        self._lookup_seconds_max = lookup_seconds_max
        self._one_at_a_time = asyncio.Lock()
        self._gathering: tuple[set[UUID], asyncio.Task[Mapping[UUID, ServiceKey]]] | None = None

    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        if self._gathering is None:
            self._gathering = self._gather()
        wanted, lookup = self._gathering
        wanted.update(ids)
        found = await asyncio.shield(lookup)
        return {id: found[id] for id in ids if id in found}

    def _gather(self) -> tuple[set[UUID], asyncio.Task[Mapping[UUID, ServiceKey]]]:
        wanted: set[UUID] = set()
        lookup = asyncio.create_task(self._look_up(wanted))
        # Where all its callers have given up, nobody else takes note of an error, and asyncio would report it as forgotten.
        lookup.add_done_callback(lambda done: done.cancelled() or done.exception())
        return wanted, lookup

    async def _look_up(self, wanted: set[UUID]) -> Mapping[UUID, ServiceKey]:
        async with self._one_at_a_time:
            self._gathering = None  # before the lookup starts: who calls from here on must not see what it finds
            try:
                async with asyncio.timeout(self._lookup_seconds_max):
                    return await self._keys.find(list(wanted))
            except TimeoutError as error:
                raise StorageUnavailable from error

    async def add(self, key: ServiceKey) -> None:
        await self._keys.add(key)

    async def all(self) -> Sequence[ServiceKey]:
        return await self._keys.all()

    async def revoke(self, id: UUID, at: datetime) -> bool:
        return await self._keys.revoke(id, at)
