"""Put a new service key in the place of one that is in use."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from core.access.create_key import CreatedKey
from core.access.ports import AccessUnitOfWork
from core.access.service_keys import ServiceKeyNotFound, generate
from core.clock import Clock

GRACE_DEFAULT: Final = timedelta(days=1)
GRACE_MAX: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKeyCommand:
    """The key to replace, and for how long it goes on working beside the new one; at most `GRACE_MAX`."""

    id: UUID
    grace: timedelta = GRACE_DEFAULT


class RotateKey:
    """Create a key with the name and scope of another, which ends after the grace. One that ends sooner by itself still does."""

    def __init__(self, unit_of_work: Callable[[], AccessUnitOfWork], clock: Clock, new_id: Callable[[], UUID]) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._new_id = new_id

    async def execute(self, command: RotateKeyCommand) -> CreatedKey:
        """Raises ServiceKeyNotFound, also for a key that is not valid any more: nobody needs a successor to it."""
        now = self._clock()
        async with self._unit_of_work() as uow:
            await uow.service_keys.lock(command.id)
            before = uow.service_keys.get(command.id)
            if before is None or not before.is_valid(now):
                raise ServiceKeyNotFound(str(command.id))
            key, text = generate(self._new_id(), before.scope, now, before.name)
            uow.service_keys.save(before.expiring(now + command.grace))
            uow.service_keys.save(key)
            await uow.commit()
        return CreatedKey(key, text)
