"""Create a service key."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core.access.ports import AccessUnitOfWork
from core.access.service_keys import Scope, ServiceKey, generate
from core.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKeyCommand:
    """What the key may do, and who uses it: `name` is what the ledger shows, and the key's id where there is none."""

    scope: Scope
    name: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """The key as it is stored, and its text, which is shown this once."""

    key: ServiceKey
    text: str


class CreateKey:
    """Create a service key. What is stored is a hash: nobody can show the key's text again."""

    def __init__(self, unit_of_work: Callable[[], AccessUnitOfWork], clock: Clock, new_id: Callable[[], UUID]) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._new_id = new_id

    async def execute(self, command: CreateKeyCommand) -> CreatedKey:
        """Raises InvalidKeyName and InvalidExpiry."""
        key, text = generate(self._new_id(), command.scope, self._clock(), command.name, command.expires_at)
        async with self._unit_of_work() as uow:
            uow.service_keys.save(key)
            await uow.commit()
        return CreatedKey(key, text)
