"""Service keys that can be checked while the database is away."""

from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from core.access.ports import ServiceKeyReader
from core.access.service_keys import ServiceKey
from core.clock import Clock
from core.errors import StorageUnavailable
from infrastructure.outage.state import Outage, Phase

KEYS_MAX: Final = 1_000


class RememberedServiceKeys(ServiceKeyReader):
    """Keys as the database last showed them, at most `age_max` ago. They are used only while it is away, and only where a feature admits.

    One that is revoked meanwhile goes on working until the database is back; its expiry holds all the same.
    """

    def __init__(self, keys: ServiceKeyReader, outage: Outage, clock: Clock, age_max: timedelta) -> None:
        self._keys = keys
        self._outage = outage
        self._clock = clock
        self._age_max = age_max
        self._seen: dict[UUID, tuple[ServiceKey, datetime]] = {}  # in the order in which they were last seen

    def find(self, ids: Sequence[UUID]) -> Coroutine[Any, Any, Mapping[UUID, ServiceKey]]:
        """As the port promises, but for what is remembered."""
        return self._find(ids) if self._outage.admits else self._keys.find(ids)

    async def all(self) -> Sequence[ServiceKey]:
        return await self._keys.all()

    async def _find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        if self._outage.phase is Phase.AWAY and (known := self._remembered(ids)) is not None:
            return known
        try:
            found = await self._keys.find(ids)
        except StorageUnavailable:
            known = self._remembered(ids)
            if known is None:
                raise
            return known
        now = self._clock()
        for id in ids:
            self._seen.pop(id, None)
        self._seen.update({id: (key, now) for id, key in found.items()})
        while len(self._seen) > KEYS_MAX:
            del self._seen[next(iter(self._seen))]
        return found

    def _remembered(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey] | None:
        """All of these, or None."""
        earliest = self._clock() - self._age_max
        known = {id: seen[0] for id in ids if (seen := self._seen.get(id)) and seen[1] > earliest}
        return known if len(known) == len(set(ids)) else None
