"""What an operation is expected to take, and whether the customer's plan has that much left."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from core.metering.account import Account
from core.metering.balance import FeatureNotInPlan
from core.operations.features import AI_COST, AI_RUNS


@dataclass(frozen=True, slots=True)
class Estimate:
    """`cost` is in nano-dollars."""

    cost: int
    runs: int

    @classmethod
    def of(cls, cost: Decimal, runs: int) -> "Estimate":
        """As a caller wrote it, in dollars. Raises InvalidQuantity for what is neither nothing nor at least a smallest part."""
        return cls(AI_COST.parts_if_any(cost), AI_RUNS.parts_if_any(Decimal(runs)))

    def usage(self) -> Mapping[str, int]:
        """By feature, what there is to hold."""
        return {feature: quantity for feature, quantity in ((AI_RUNS.key, self.runs), (AI_COST.key, self.cost)) if quantity}

    def require_affordable(self, account: Account) -> None:
        """Raises LimitExceeded or FeatureNotInPlan where an operation with this estimate is not to be begun.

        - The estimate has to fit into what is neither used nor held by other operations.
        - What an operation costs is known only afterwards. Where no budget at all is left, none begins, though it is estimated at nothing.
        - Runs are known beforehand: an operation that is estimated at no run may begin when all of them are used.
        - A plan that has only one of the two features limits only that one; a plan that has neither has no operations.
        """
        included = account.plan.entitlements
        if AI_RUNS.key not in included and AI_COST.key not in included:
            raise FeatureNotInPlan(account.plan.key, AI_RUNS.key)
        for feature, quantity in self.usage().items():
            account.require(feature, quantity)
        if AI_COST.key in included:
            account.require_remaining(AI_COST.key)
