"""Many callers' key lookups in one."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from core.access.ports import ServiceKeyReader
from core.access.service_keys import ServiceKey
from infrastructure.batching.gathering import ROUND_SECONDS_MAX, Gathering


class GatheredServiceKeys(ServiceKeyReader):
    """While one lookup is with the database, the calls that come in gather, and then share the next one.

    A key whose revocation was committed before a request came in is always seen as revoked.
    """

    def __init__(self, keys: ServiceKeyReader, lookup_seconds_max: float = ROUND_SECONDS_MAX) -> None:
        self._keys = keys
        self._gathering: Gathering[Sequence[UUID], Mapping[UUID, ServiceKey]] = Gathering(self._look_up, lookup_seconds_max)

    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        found = await self._gathering.ask(ids)
        return {id: found[id] for id in ids if id in found}

    async def _look_up(self, calls: Sequence[Sequence[UUID]]) -> Sequence[Mapping[UUID, ServiceKey]]:
        found = await self._keys.find(list({id for ids in calls for id in ids}))
        return [found] * len(calls)

    async def all(self) -> Sequence[ServiceKey]:
        return await self._keys.all()
