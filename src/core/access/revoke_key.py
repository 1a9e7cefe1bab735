"""Revoke a service key."""

from collections.abc import Callable
from uuid import UUID

from core.access.ports import AccessUnitOfWork
from core.access.service_keys import ServiceKey, ServiceKeyNotFound
from core.clock import Clock


class RevokeKey:
    """End a service key for good: it is refused from the commit on. Revoking again changes nothing."""

    def __init__(self, unit_of_work: Callable[[], AccessUnitOfWork], clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def execute(self, id: UUID) -> ServiceKey:
        """The key as it stands now. Raises ServiceKeyNotFound."""
        now = self._clock()
        async with self._unit_of_work() as uow:
            await uow.service_keys.lock(id)
            key = uow.service_keys.get(id)
            if key is None:
                raise ServiceKeyNotFound(str(id))
            revoked = key.revoked(now)
            uow.service_keys.save(revoked)
            await uow.commit()
        return revoked
