"""Book events that other systems report, each of them once."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from core.metering.account import Account
from core.metering.balance import Amount
from core.metering.ledger import EventKey, Origin
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase


class IngestEventCommand(NamedTuple):
    """An event: who used how much of what, when, and what tells it from every other."""

    customer_id: str
    amount: Amount
    source: str
    event_id: str
    recorded_by: str
    occurred_at: datetime | None = None

    @property
    def key(self) -> EventKey:
        return EventKey(self.customer_id, self.source, self.event_id)


class IngestEvents(AccountUseCase[IngestEventCommand, bool, UnitOfWork]):
    """Book an event's usage, unless the event is known; the result says whether it was new.

    - What an event reports has been used: it is always booked, in the period in which it occurred; an event of nothing is known, too.
    - A customer's event with the same source and id is the same event, for ever, whatever else it says.
    """

    def features_of(self, command: IngestEventCommand) -> Collection[str]:
        return (command.amount.feature,)

    async def load(self, commands: Sequence[IngestEventCommand], uow: UnitOfWork) -> None:
        await uow.events.load(command.key for command in commands)

    def dated(self, commands: Sequence[IngestEventCommand], uow: UnitOfWork) -> Iterable[tuple[Meter, datetime]]:
        for command in commands:
            if command.occurred_at is not None:
                yield Meter(command.customer_id, command.amount.feature), command.occurred_at

    def decide(self, command: IngestEventCommand, account: Account, uow: UnitOfWork) -> bool:
        key = command.key
        if uow.events.get(key):
            return False
        (usage,) = account.work([command.amount])
        origin = Origin(command.source, command.recorded_by)
        account.record(
            usage.feature, usage.quantity, origin, occurred_at=command.occurred_at, event_id=command.event_id, dimension=usage.dimension
        )
        uow.events.save(key)
        return True
