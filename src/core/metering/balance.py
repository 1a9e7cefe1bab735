"""How much of a feature: as callers write it, as it is counted, where it stands against its limit, and how it is refused."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from core.errors import DomainError
from core.metering.ledger import Breakdown
from core.plans.features import Feature
from core.plans.periods import Period


class Amount(NamedTuple):
    """So much of one feature as a caller wrote it, in the feature's unit."""

    feature: str
    quantity: Decimal
    dimension: str | None = None


class Usage(NamedTuple):
    """So much of one feature, in smallest parts; `dimension` is what it can be broken down by."""

    feature: str
    quantity: int
    dimension: str | None = None


class Balance(NamedTuple):
    """One metered feature's limit and usage in the period that contains now. All amounts in smallest parts."""

    feature: Feature
    limit: int | None
    hard: bool
    period: Period
    used: int
    held: int

    @property
    def remaining(self) -> int | None:
        """What may still be used; never below zero; None where unlimited."""
        return None if self.limit is None else max(self.limit - self.used - self.held, 0)

    @property
    def overage(self) -> int:
        """Usage above the limit."""
        limit = self.limit
        return 0 if limit is None or self.used <= limit else self.used - limit

    def admits(self, quantity: int) -> bool:
        """Rule 2: used + held + requested <= limit. A soft limit admits everything."""
        return self.limit is None or not self.hard or self.used + self.held + quantity <= self.limit

    def seen(self, breakdown: Breakdown) -> "Balance":
        """As the ledger itself shows it, at the moment of the breakdown."""
        return self._replace(used=breakdown.used, held=breakdown.held)

    def plus(self, used: int, held: int = 0) -> "Balance":
        return Balance(self.feature, self.limit, self.hard, self.period, self.used + used, self.held + held)


class LimitExceeded(DomainError):
    """A metered limit does not admit what was asked for."""

    def __init__(self, plan: str, balance: Balance, requested: int, at: datetime) -> None:
        super().__init__(plan, balance, requested, at)
        self.plan, self.balance, self.requested, self.at = plan, balance, requested, at
        self.feature = balance.feature.key
        units = balance.feature.units
        which = [] if self.feature == balance.feature.plural else [self.feature]
        stands = [f"used {units(balance.used):f}, set aside {units(balance.held):f}"] if balance.held else []
        more = f" ({'; '.join(which + stands)})" if which or stands else ""
        self.message = f"Usage limit exceeded: {balance.feature.amount(balance.limit or 0)}{more}."

    def facts(self) -> Mapping[str, object]:
        balance, units = self.balance, self.balance.feature.units
        return {
            "plan": self.plan,
            "feature": self.feature,
            "current_usage": units(balance.used),
            "held": units(balance.held),
            "requested": units(self.requested),
            "limit": units(balance.limit or 0),
            "remaining": units(balance.remaining or 0),
            "resets_at": balance.period.resets_at,
        }


class FeatureNotInPlan(DomainError):
    """The plan lacks the feature, or has it switched off; or nobody has declared such a feature."""

    def __init__(self, plan: str, feature: str, *, declared: bool = True) -> None:
        super().__init__(plan, feature)
        self.plan, self.feature, self.declared = plan, feature, declared
        self.message = f"Plan {plan!r} does not include {feature!r}." if declared else f"{feature!r} is not a declared feature."

    def facts(self) -> Mapping[str, object]:
        return {"plan": self.plan, "feature": self.feature}


class FeatureNotMetered(DomainError):
    """Usage was to be booked of a feature that the plan grants as a number or a switch."""

    def __init__(self, plan: str, feature: str) -> None:
        super().__init__(plan, feature)
        self.plan, self.feature = plan, feature
        self.message = f"{feature!r} is not metered in plan {plan!r}."

    def facts(self) -> Mapping[str, object]:
        return {"plan": self.plan, "feature": self.feature}
