"""Correct a ledger entry by a further one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.idempotency import Idempotency
from core.metering.ledger import CorrectedRecord, Origin, RecordNotFound, UsageRecord
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
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """The compensating record, and where the feature stands."""

    record: UsageRecord
    balance: Balance


class CorrectRecord(AccountUseCase[CorrectRecordCommand, Corrected, UnitOfWork, dict[UUID, CorrectedRecord]]):
    """Book a compensating record with a reason; the record that was wrong stays as it is.

    - It counts in the period of the record that it corrects.
    - Neither that record's total nor the period's usage falls below zero.
    """

    def features(self, command: CorrectRecordCommand) -> Collection[str]:
        return ()

    async def claims(self, commands: Sequence[CorrectRecordCommand], uow: UnitOfWork) -> Mapping[str, Collection[str]]:
        claims: dict[str, set[str]] = {command.customer_id: set() for command in commands}
        for known in (await self.read(commands, uow)).values():
            claims[known.record.customer_id].add(known.record.feature)
        return claims

    async def read(self, commands: Sequence[CorrectRecordCommand], uow: UnitOfWork) -> dict[UUID, CorrectedRecord]:
        return await uow.ledger.find((command.customer_id, command.record_id) for command in commands)

    def decide(self, command: CorrectRecordCommand, account: Account, facts: dict[UUID, CorrectedRecord], uow: UnitOfWork) -> Corrected:
        known = facts.get(command.record_id)
        if known is None or known.record.customer_id != command.customer_id:
            raise RecordNotFound(str(command.record_id))
        feature = known.record.feature
        if known.record.corrects is not None:
            raise InvalidQuantity(feature, f"record {known.record.id} is itself a correction: correct {known.record.corrects}")
        quantity = account.balance(feature).feature.parts(command.quantity)
        if quantity == 0:
            raise InvalidQuantity(feature, "a correction of zero changes nothing")
        origin = Origin("correction", command.recorded_by, known.record.origin.reference)
        record = account.correct(known.record, known.total, quantity, command.reason, origin)
        facts[command.record_id] = replace(known, total=known.total + quantity)
        return Corrected(record, account.balance(feature))
