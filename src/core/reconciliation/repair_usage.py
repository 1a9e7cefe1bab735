"""Write what the ledger lacks, and rebuild counters."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from core.metering.account import Account
from core.metering.idempotency import Idempotency
from core.metering.ledger import Origin
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase
from core.reconciliation.drift import DriftReader, MissingUsage

REASON: Final = "reconcile"


class RepairUnitOfWork(UnitOfWork, Protocol):
    """A transaction that can also look for drift, under its locks."""

    @property
    def drift(self) -> DriftReader: ...


@dataclass(frozen=True, slots=True)
class RepairCommand:
    """Names the customer and the features that drifted."""

    customer_id: str
    features: Collection[str]
    idempotency: Idempotency | None = None


class RepairUsage(AccountUseCase[RepairCommand, int, RepairUnitOfWork, dict[str, list[MissingUsage]]]):
    """Write the ledger records that are missing, in the period in which the usage occurred, and rebuild the counters.

    Looks again under the lock, so that repairing twice, or beside live traffic, books nothing twice. The result says how many
    records were written.
    """

    def features(self, command: RepairCommand) -> Collection[str]:
        return command.features

    async def claims(self, commands: Sequence[RepairCommand], uow: RepairUnitOfWork) -> Mapping[str, Collection[str]]:
        claims = await super().claims(commands, uow)
        await uow.accounts.forget(claims)
        return claims

    async def read(self, commands: Sequence[RepairCommand], uow: RepairUnitOfWork) -> dict[str, list[MissingUsage]]:
        missing: dict[str, list[MissingUsage]] = {}
        for item in await uow.drift.missing([command.customer_id for command in commands]):
            missing.setdefault(item.customer_id, []).append(item)
        return missing

    def decide(self, command: RepairCommand, account: Account, facts: dict[str, list[MissingUsage]], uow: RepairUnitOfWork) -> int:
        known = facts.get(command.customer_id, [])
        missing = [item for item in known if item.feature in command.features]
        for item in missing:
            account.rebook(
                item.feature, item.quantity, item.occurred_at, REASON, Origin(item.source, REASON, item.reference), item.dimension
            )
        facts[command.customer_id] = [item for item in known if item.feature not in command.features]
        return len(missing)
