"""Correct a ledger entry by a further one."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.ledger import Origin, RecordKey, RecordNotFound, UsageRecord
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase
from core.plans.features import InvalidQuantity


@dataclass(frozen=True, slots=True)
class CorrectRecordCommand:
    """`quantity`, in the feature's unit, is added to the record's; usually negative."""

    customer_id: str
    record_id: UUID
    quantity: Decimal
    reason: str
    recorded_by: str


@dataclass(frozen=True, slots=True)
class Corrected:
    """The compensating record, where the feature stands, and how much flowed back to grants that have ended, and so lapsed."""

    record: UsageRecord
    balance: Balance
    lapsed: int = 0


class CorrectRecord(AccountUseCase[CorrectRecordCommand, Corrected, UnitOfWork]):
    """Book a compensating record with a reason; the record that was wrong stays as it is.

    - It counts in the period of the record that it corrects.
    - Neither that record's total nor that period's usage falls below zero.
    """

    async def claims(self, commands: Sequence[CorrectRecordCommand], uow: UnitOfWork) -> Mapping[str, Collection[Meter]]:
        # What a record counts towards never changes, so it can be looked up before the lock; its total is loaded after it.
        claims: dict[str, set[Meter]] = {command.customer_id: set() for command in commands}
        for known in await uow.records.find(list(dict.fromkeys(map(_key, commands)))):
            claims[known.record.customer_id].add(known.record.meter)
        return claims

    async def load(self, commands: Sequence[CorrectRecordCommand], uow: UnitOfWork) -> None:
        await uow.records.load(map(_key, commands))

    def dated(self, commands: Sequence[CorrectRecordCommand], uow: UnitOfWork) -> Iterable[tuple[Meter, datetime]]:
        known = [uow.records.get(_key(command)) for command in commands]
        return [(item.record.meter, item.record.occurred_at) for item in known if item is not None]

    def decide(self, command: CorrectRecordCommand, account: Account, uow: UnitOfWork) -> Corrected:
        known = uow.records.get(_key(command))
        if known is None:
            raise RecordNotFound(str(command.record_id))
        feature = known.record.feature
        if known.record.corrects is not None:
            raise InvalidQuantity(feature, f"record {known.record.id} is itself a correction: correct {known.record.corrects}")
        quantity = account.balance(feature).feature.parts(command.quantity)
        if quantity == 0:
            raise InvalidQuantity(feature, "a correction of zero changes nothing")
        origin = Origin("correction", command.recorded_by, known.record.origin.reference)
        record = account.correct(known, quantity, command.reason, origin)
        return Corrected(record, account.balance(feature), account.lapsed.get(record.id, 0))


def _key(command: CorrectRecordCommand) -> RecordKey:
    return RecordKey(command.customer_id, command.record_id)
