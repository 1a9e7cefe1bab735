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
    """An event: who used how much of what, of one feature or several, when, and what tells it from every other."""

    customer_id: str
    amounts: Sequence[Amount]
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
    - An event that counts towards several features is booked to all of them, or to none.
    - A customer's event with the same source and id is the same event, for ever, whatever else it says.
    """

    def features_of(self, command: IngestEventCommand) -> Collection[str]:
        return [amount.feature for amount in command.amounts]

    async def load(self, commands: Sequence[IngestEventCommand], uow: UnitOfWork) -> None:
        await uow.events.load(command.key for command in commands)

    def dated(self, commands: Sequence[IngestEventCommand], uow: UnitOfWork) -> Iterable[tuple[Meter, datetime]]:
        for command in commands:
            if command.occurred_at is not None:
                for amount in command.amounts:
                    yield Meter(command.customer_id, amount.feature), command.occurred_at

    def decide(self, command: IngestEventCommand, account: Account, uow: UnitOfWork) -> bool:
        key = command.key
        if uow.events.get(key):
            return False
        # One record carries the event's id, which no other record of the customer may have; where there are more, they refer to it.
        origin = Origin(command.source, command.recorded_by, command.event_id if len(command.amounts) > 1 else None)
        event_id: str | None = command.event_id
        for feature, quantity, dimension in command.amounts:
            parts = account.parts_of_work(feature, quantity)
            account.record(feature, parts, origin, occurred_at=command.occurred_at, event_id=event_id, dimension=dimension)
            event_id = None
        uow.events.save(key)
        return True
