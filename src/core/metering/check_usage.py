"""Ask whether usage would be admitted, and book nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.clock import Clock
from core.errors import DomainError
from core.metering.account import Account
from core.metering.balance import Amount, Balance, FeatureNotInPlan, LimitExceeded
from core.metering.consume_usage import Mode
from core.metering.ports import AccountReader
from core.plans.features import without_noise
from core.plans.plan import Boolean, Static


class GrantExceeded(DomainError):
    """More was asked for than the number that the plan grants."""

    refused_by_plan = True

    def __init__(self, plan: str, feature: str, value: Decimal, requested: Decimal) -> None:
        super().__init__(plan, feature, value, requested)
        self.plan, self.feature, self.value, self.requested = plan, feature, value, requested
        self.message = f"Plan {plan!r} grants {feature!r} up to {value:f}."

    def facts(self) -> Mapping[str, object]:
        return {"plan": self.plan, "feature": self.feature, "limit": self.value, "requested": self.requested}


@dataclass(frozen=True, slots=True)
class Checked:
    """`refusal` is what consuming would raise; None where it would be admitted. Balances are those before."""

    refusal: LimitExceeded | FeatureNotInPlan | GrantExceeded | None
    balances: Mapping[str, Balance]


class CheckUsage:
    """Would this much, of all these features together, be admitted now?

    - Takes no lock and books nothing: by the time of the answer somebody else may have used what was left.
    - A feature that the plan grants as a number admits up to that number; one that is a switch admits anything while it is on.
    - Recording is always admitted, of every metered feature.
    """

    def __init__(self, accounts: AccountReader, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock

    async def execute(self, customer_id: str, amounts: Sequence[Amount], mode: Mode = Mode.ENFORCE) -> Checked:
        """Raises CustomerNotFound and InvalidQuantity."""
        return checked(await self._accounts.read(customer_id, {amount.feature for amount in amounts}, self._clock()), amounts, mode)


def checked(account: Account, amounts: Sequence[Amount], mode: Mode = Mode.ENFORCE) -> Checked:
    """What the account, as it stands, says to so much of each. Raises InvalidQuantity."""
    metered = [item for item in amounts if not isinstance(account.plan.entitlements.get(item.feature), Static | Boolean)]
    try:
        usage = account.usage(metered) if mode is Mode.ENFORCE else account.work(metered)
        balances = account.balances(item.feature for item in usage)
        for amount in amounts:
            _require_grant(account, amount)
        if mode is Mode.ENFORCE:
            account.require_all(usage)
    except (LimitExceeded, FeatureNotInPlan, GrantExceeded) as refusal:
        return Checked(refusal, account.balances(item.feature for item in metered if account.knows(item.feature)))
    return Checked(None, balances)


def _require_grant(account: Account, amount: Amount) -> None:
    match account.plan.entitlements.get(amount.feature):
        case Boolean(enabled=False):
            raise FeatureNotInPlan(account.plan.key, amount.feature)
        case Static(value) if without_noise(amount.quantity) > value:
            raise GrantExceeded(account.plan.key, amount.feature, value, amount.quantity)
