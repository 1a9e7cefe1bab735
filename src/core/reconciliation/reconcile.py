"""Compare what happened, what the ledger says and what the counters show, and bring them together."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from core.metering.balance import Balance
from core.metering.ports import AccountReader
from core.metering.use_case import UseCase, execute_one
from core.plans.periods import Period
from core.reconciliation.drift import Drift, DriftReader, Rollups
from core.reconciliation.repair_usage import RepairCommand

PAGE_SIZE: Final = 200


class Reconcile:
    """Look for drift, customer by customer, beside live traffic; repair it if asked to."""

    def __init__(self, drift: DriftReader, accounts: AccountReader, repair: UseCase[RepairCommand, int], rollups: Rollups) -> None:
        self._drift = drift
        self._accounts = accounts
        self._repair = repair
        self._rollups = rollups

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
        found = [
            *await self._drift.counters(customer_ids),
            *await self._drift.grants(customer_ids),
            *await self._drift.rollups(customer_ids),
        ]
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
        rollups = [item for item in drift if item.where == "rollup"]
        await self._rollups.mend(rollups)
        for item in drift:
            if item.where != "rollup":
                features.setdefault(item.customer_id, set()).add(item.feature)
        written = 0
        for customer_id, drifted in features.items():
            outcome = await execute_one(self._repair, RepairCommand(customer_id, drifted))
            written += outcome if isinstance(outcome, int) else 0
        return written
