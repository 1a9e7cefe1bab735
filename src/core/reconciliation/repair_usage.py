"""Write what the ledger lacks, and rebuild counters."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from core.metering.account import Account
from core.metering.ledger import Origin
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase
from core.reconciliation.drift import Missing

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

    Looks again under the lock, so that repairing twice, or beside live traffic, books nothing twice. The result says how many
    records were written.
    """

    def features_of(self, command: RepairCommand) -> Collection[str]:
        return command.features

    async def claims(self, commands: Sequence[RepairCommand], uow: RepairUnitOfWork) -> Mapping[str, Collection[Meter]]:
        claims = await super().claims(commands, uow)
        await uow.accounts.forget(claims)
        return claims

    async def load(self, commands: Sequence[RepairCommand], uow: RepairUnitOfWork) -> None:
        await uow.missing.load(Meter(command.customer_id, feature) for command in commands for feature in command.features)

    def decide(self, command: RepairCommand, account: Account, uow: RepairUnitOfWork) -> int:
        written = 0
        for feature in command.features:
            missing = uow.missing.get(Meter(command.customer_id, feature))
            if missing is None:
                continue
            for item in missing.items:
                origin = Origin(item.source, REASON, item.reference)
                account.rebook(feature, item.quantity, item.occurred_at, REASON, origin, item.dimension)
            written += len(missing.items)
            uow.missing.save(missing.made_up_for())
        return written
