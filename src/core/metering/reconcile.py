"""Compare what happened, what the ledger says and what the counters show, and bring them together."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from core.metering.account import Account
from core.metering.balance import Balance
from core.metering.idempotency import Idempotency
from core.metering.ledger import Origin
from core.metering.periods import Period
from core.metering.ports import AccountReader, UnitOfWork
from core.metering.use_case import AccountUseCase, UseCase, execute_one

REASON: Final = "reconcile"
PAGE_SIZE: Final = 200


@dataclass(frozen=True, slots=True)
class Drift:
    """A sum that is not what it should be. Quantities in smallest parts.

    `where` is "counter" where the counter differs from the ledger, "ledger" where the ledger differs from the product's records.
    """

    customer_id: str
    feature: str
    period: Period
    where: str
    recorded: int
    expected: int

    @property
    def difference(self) -> int:
        return self.expected - self.recorded


@dataclass(frozen=True, slots=True)
class MissingUsage:
    """Usage that a product's record shows and the ledger does not; `quantity` is negative where the ledger has too much."""

    customer_id: str
    feature: str
    source: str
    reference: str
    quantity: int
    occurred_at: datetime
    dimension: str | None = None


class DriftReader(ABC):
    """Finds what disagrees. Each answer is one consistent view, so that work in progress is never taken for drift."""

    @abstractmethod
    async def customers(self, after: str, limit: int) -> Sequence[str]:
        """The next customers' ids, in order; from the first for an empty `after`."""

    @abstractmethod
    async def count(self) -> int:
        """About how many customers there are."""

    @abstractmethod
    async def counters(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        """The counters that differ from the ledger over their own periods."""

    @abstractmethod
    async def missing(self, customer_ids: Sequence[str]) -> Sequence[MissingUsage]:
        """What the ledger lacks of what the products' records show; each customer's in the order in which it occurred."""


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


class Reconcile:
    """Look for drift, customer by customer, beside live traffic; repair it if asked to."""

    def __init__(self, drift: DriftReader, accounts: AccountReader, repair: UseCase[RepairCommand, int]) -> None:
        self._drift = drift
        self._accounts = accounts
        self._repair = repair

    async def customers(self, only: str | None = None) -> AsyncIterator[Sequence[str]]:
        """The customers to look at, in pages."""
        if only is not None:
            yield [only]
            return
        page = await self._drift.customers("", PAGE_SIZE)
        while page:
            yield page
            page = await self._drift.customers(page[-1], PAGE_SIZE)

    async def count(self, only: str | None = None) -> int:
        """About how many customers there are to look at."""
        return 1 if only is not None else await self._drift.count()

    async def find(self, customer_ids: Sequence[str]) -> Sequence[Drift]:
        """What disagrees for these customers."""
        found = list(await self._drift.counters(customer_ids))
        by_period: dict[tuple[str, str, Period], int] = {}
        recorded: dict[tuple[str, str, Period], int] = {}
        latest: dict[tuple[str, str], Balance] = {}
        for item in await self._drift.missing(customer_ids):
            balance = latest.get((item.customer_id, item.feature))
            if balance is None or item.occurred_at not in balance.period:
                account = await self._accounts.read(item.customer_id, [item.feature], item.occurred_at)
                balance = latest[item.customer_id, item.feature] = account.balance(item.feature)
            key = (item.customer_id, item.feature, balance.period)
            by_period[key] = by_period.get(key, 0) + item.quantity
            recorded[key] = balance.used
        # Also where what is missing and what is too much add up to nothing: the records do not say what happened.
        return [*found, *(Drift(*key, "ledger", recorded[key], recorded[key] + missing) for key, missing in by_period.items())]

    async def repair(self, drift: Sequence[Drift]) -> int:
        """Mends what was found; says how many ledger records were written."""
        features: dict[str, set[str]] = {}
        for item in drift:
            features.setdefault(item.customer_id, set()).add(item.feature)
        written = 0
        for customer_id, drifted in features.items():
            outcome = await execute_one(self._repair, RepairCommand(customer_id, drifted))
            written += outcome if isinstance(outcome, int) else 0
        return written
