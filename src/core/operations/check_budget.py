"""Ask whether an operation could be started, and start nothing."""

from decimal import Decimal

from core.clock import Clock
from core.metering.balance import FeatureNotInPlan, LimitExceeded
from core.metering.check_usage import Checked
from core.metering.ports import AccountReader
from core.operations.estimate import Estimate
from core.operations.features import AI_COST, AI_RUNS


class CheckBudget:
    """Would an operation with this estimate be admitted now?

    The same rules as starting one; takes no lock and holds nothing: by the time of the answer somebody else may have used what was left.
    """

    def __init__(self, accounts: AccountReader, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock

    async def execute(self, customer_id: str, cost: Decimal, runs: int) -> Checked:
        """Both balances are those of now. Raises CustomerNotFound and InvalidQuantity."""
        estimate = Estimate.of(cost, runs)
        account = await self._accounts.read(customer_id, (AI_RUNS.key, AI_COST.key), self._clock())
        balances = account.balances((AI_RUNS.key, AI_COST.key))
        try:
            estimate.require_affordable(account)
        except (LimitExceeded, FeatureNotInPlan) as refusal:
            return Checked(refusal, balances)
        return Checked(None, balances)
