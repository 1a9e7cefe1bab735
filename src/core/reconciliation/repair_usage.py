"""Write what the ledger lacks, and rebuild counters."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from core.metering.account import Account
from core.metering.ledger import Origin
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase
from core.reconciliation.drift import Missing, MissingUsage

REASON: Final = "reconcile"


class RepairUnitOfWork(UnitOfWork, Protocol):
    """A transaction that can also look for what the ledger lacks, under its locks."""

    @property
    def missing(self) -> Missing: ...


@dataclass(frozen=True, slots=True)
class RepairCommand:
    """Names the customer and the features that drifted."""

    customer_id: str
    features: Collection[str]


class RepairUsage(AccountUseCase[RepairCommand, int, RepairUnitOfWork]):
    """Write the ledger records that are missing, in the period in which the usage occurred, and rebuild the counters.

    - What the ledger has too much is taken back from the very records that have it, so that neither a record nor a period falls below
      zero, and what somebody has corrected already is not taken back again.
    - It looks again under the lock, so that repairing twice, or beside live traffic, books nothing twice.
    - The result says how many records were written.
    """

    def features_of(self, command: RepairCommand) -> Collection[str]:
        return command.features

    async def claims(self, commands: Sequence[RepairCommand], uow: RepairUnitOfWork) -> Mapping[str, Collection[Meter]]:
        claims = await super().claims(commands, uow)
        await uow.accounts.forget(claims)
        return claims

    async def load(self, commands: Sequence[RepairCommand], uow: RepairUnitOfWork) -> None:
        await uow.missing.load(_meters(commands))
        await uow.records.load_of(item.cause for item in self._missing(commands, uow) if item.quantity < 0)

    def dated(self, commands: Sequence[RepairCommand], uow: RepairUnitOfWork) -> Iterable[tuple[Meter, datetime]]:
        for item in self._missing(commands, uow):
            meter = Meter(item.customer_id, item.feature)
            if item.quantity > 0:
                yield meter, item.occurred_at
            else:
                yield from ((meter, known.record.occurred_at) for known in uow.records.of(item.cause))

    def decide(self, command: RepairCommand, account: Account, uow: RepairUnitOfWork) -> int:
        written = 0
        for item in self._missing([command], uow):
            written += _made_up_for(item, account, uow)
        for meter in _meters([command]):
            if missing := uow.missing.get(meter):
                uow.missing.save(missing.made_up_for())
        return written

    def _missing(self, commands: Sequence[RepairCommand], uow: RepairUnitOfWork) -> list[MissingUsage]:
        """What is missing before what there is too much of, so that nothing is taken from a period that will only get it."""
        known = [uow.missing.get(meter) for meter in dict.fromkeys(_meters(commands))]
        items = [item for missing in known if missing is not None for item in missing.items]
        return sorted(items, key=lambda item: item.quantity < 0)


def _meters(commands: Sequence[RepairCommand]) -> list[Meter]:
    return [Meter(command.customer_id, feature) for command in commands for feature in command.features]


def _made_up_for(item: MissingUsage, account: Account, uow: RepairUnitOfWork) -> int:
    """Books what is missing, or takes back what is too much from the records that have it; says how many records it wrote."""
    origin = Origin(item.source, REASON, item.reference)
    if item.quantity > 0:
        account.rebook(item.feature, item.quantity, item.occurred_at, REASON, origin, item.dimension)
        return 1
    written, left = 0, -item.quantity
    there_and_then_the_latest = sorted(
        uow.records.of(item.cause), key=lambda known: (known.record.occurred_at == item.occurred_at, known.record.id), reverse=True
    )
    for known in there_and_then_the_latest:
        given = account.give_back(known, left, REASON, origin)
        written, left = written + bool(given), left - given
    return written
