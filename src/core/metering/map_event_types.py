"""Say what events of some types are booked as."""

from collections.abc import Callable, Sequence

from core.metering.event_types import EventType
from core.metering.ports import EventTypesUnitOfWork


class MapEventTypes:
    """Map event types to features; what is mapped otherwise already is mapped anew, and other types stay as they are.

    Events that are booked already stay as they were booked.
    """

    def __init__(self, unit_of_work: Callable[[], EventTypesUnitOfWork]) -> None:
        self._unit_of_work = unit_of_work

    async def execute(self, types: Sequence[EventType]) -> None:
        """Features that the types name are declared."""
        async with self._unit_of_work() as uow:
            await uow.event_types.load(mapped.key for mapped in types)
            for mapped in types:
                if uow.event_types.get(mapped.key) != mapped:
                    uow.event_types.save(mapped)
            await uow.commit()
