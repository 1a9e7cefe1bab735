"""How much of a feature: as callers write it, as it is counted, where it stands against its limit, and how it is refused."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from core.errors import DomainError
from core.metering.funds import Funds
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
    """One metered feature's limit and usage in the period that contains now. All amounts in smallest parts.

    `limit` is what may be used in all. `funds` are there where grants are, or were; `held_until` is when the last hold ends,
    as far as is known.
    """

    feature: Feature
    limit: int | None
    hard: bool
    period: Period
    used: int
    held: int
    funds: Funds | None = None
    held_until: datetime | None = None

    @property
    def allowance(self) -> int | None:
        """What the plan, an override and add-ons give for the period; None where unlimited."""
        return self.limit if self.funds is None else self.funds.allowance

    @property
    def granted(self) -> int:
        """What active grants have left."""
        return 0 if self.funds is None else self.funds.granted

    @property
    def remaining(self) -> int | None:
        """What may still be used; never below zero; None where unlimited."""
        return None if self.limit is None else max(self.limit - self.used - self.held, 0)

    @property
    def overage(self) -> int:
        """Usage above the limit: what neither the allowance nor a grant covers."""
        if self.funds is not None:
            return self.funds.uncovered
        limit = self.limit
        return 0 if limit is None or self.used <= limit else self.used - limit

    def admits(self, quantity: int) -> bool:
        """Rule 2: used + held + requested <= limit. A soft limit admits everything.

        Beside grants, what is left must also cover the holds for as long as they last.
        """
        if self.limit is None or not self.hard:
            return True
        if self.used + self.held + quantity > self.limit:
            return False
        if self.funds is None or self.held_until is None or not self.held:
            return True
        return self.funds.burn(quantity).outliving(self.held_until).covers(self.held)

    def seen(self, breakdown: Breakdown) -> "Balance":
        """As the ledger itself shows it, at the moment of the breakdown."""
        return self._replace(used=breakdown.used, held=breakdown.held)

    def plus(self, used: int, held: int = 0) -> "Balance":
        """With so much usage, and held, more. Beside grants usage only grows here: what is taken back goes through the books."""
        feature, limit, hard, period, used_before, held_before, funds, held_until = self
        if funds is None:
            held += held_before
            return Balance(feature, limit, hard, period, used_before + used, held, None, held_until if held else None)
        return Balance(feature, limit, hard, period, used_before + used, held_before + held, funds.burn(used), held_until)

    def standing(self, used: int, funds: Funds) -> "Balance":
        """With these funds, and the limit that follows from them."""
        return self._replace(used=used, funds=funds, limit=funds.limit)

    def holding(self, quantity: int, until: datetime) -> "Balance":
        """With so much more held, at least until then."""
        return self._replace(held=self.held + quantity, held_until=max(self.held_until or until, until))

    def outliving(self, instant: datetime) -> "Balance":
        """As it stands without the grants that expire before then."""
        return self if self.funds is None else self.standing(self.used, self.funds.outliving(instant))


def held_until(balance: Balance, at: datetime) -> str:
    """When the last hold ends, to follow what is held: by the clock in UTC, with the date where that is another day; or nothing."""
    if balance.held_until is None:
        return ""
    until = balance.held_until.astimezone(UTC)
    return f" until {until:%H:%M} UTC" if until.date() == at.astimezone(UTC).date() else f" until {until:%Y-%m-%d %H:%M} UTC"


class LimitExceeded(DomainError):
    """A metered limit does not admit what was asked for."""

    refused_by_plan = True

    def __init__(self, plan: str, balance: Balance, requested: int, at: datetime) -> None:
        super().__init__(plan, balance, requested, at)
        self.plan, self.balance, self.requested, self.at = plan, balance, requested, at
        self.feature = balance.feature.key
        units = balance.feature.units
        which = [] if self.feature == balance.feature.plural else [self.feature]
        stands = [f"used {units(balance.used):f}, set aside {units(balance.held):f}{held_until(balance, at)}"] if balance.held else []
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
            "allowance": units(balance.allowance or 0),
            "granted": units(balance.granted),
            "resets_at": balance.period.resets_at,
        }


class FeatureNotInPlan(DomainError):
    """The plan lacks the feature, or has it switched off; or nobody has declared such a feature."""

    refused_by_plan = True

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
