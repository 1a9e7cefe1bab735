"""What a customer's AI operations may cost in this period, what they have cost, and for which features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.clock import Clock
from core.metering.balance import Balance
from core.metering.ledger import OTHER, Share, bounded
from core.metering.ports import AccountReader, LedgerReader
from core.operations.features import AI_COST, AI_RUNS


@dataclass(frozen=True, slots=True)
class FeatureSpend:
    """What one feature contributes; None is usage that was booked without one. `cost` is in nano-dollars."""

    feature: str | None
    cost: int
    runs: int


@dataclass(frozen=True, slots=True)
class Budget:
    """Where runs and cost stand, each in the period of its own limit. `by_feature` adds up to what is used of both."""

    plan: str
    runs: Balance
    cost: Balance
    by_feature: Sequence[FeatureSpend]


class ReadBudget:
    """Where the customer's budget stands at this moment, and what spent it.

    - Totals and shares are of one moment, and taken from the ledger together, so that they agree also while steps are being booked.
    - The features that cost most are shown; where there are too many, the others are added up as `other`.
    - Of a feature that the plan does not have the limit is zero, and what was booked of it is shown all the same.
    """

    def __init__(self, accounts: AccountReader, ledger: LedgerReader, clock: Clock) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._clock = clock

    async def execute(self, customer_id: str) -> Budget:
        """Raises CustomerNotFound."""
        account = await self._accounts.read(customer_id, (AI_RUNS.key, AI_COST.key), self._clock())
        balances = account.balances((AI_RUNS.key, AI_COST.key))
        periods = {feature: balance.period for feature, balance in balances.items()}
        found = await self._ledger.breakdown(customer_id, periods, at=account.now)
        runs, cost = found[AI_RUNS.key], found[AI_COST.key]
        return Budget(
            plan=account.plan.key,
            runs=balances[AI_RUNS.key].seen(runs),
            cost=balances[AI_COST.key].seen(cost),
            by_feature=_by_feature(cost.shares, {share.dimension: share.quantity for share in runs.shares}),
        )


def _by_feature(costs: Sequence[Share], runs: Mapping[str | None, int]) -> list[FeatureSpend]:
    """The largest costs first, then what ran at no cost."""
    free = [Share(feature, 0) for feature in runs.keys() - {share.dimension for share in costs}]
    shown = bounded([*costs, *free])
    named = [FeatureSpend(share.dimension, share.quantity, runs.get(share.dimension, 0)) for share in shown if share.dimension != OTHER]
    runs_of_others = sum(runs.values()) - sum(spend.runs for spend in named)
    return named + [FeatureSpend(OTHER, share.quantity, runs_of_others) for share in shown if share.dimension == OTHER]
