"""Give a customer a limit of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from core.customers.change_terms import Agreed, ChangeTerms
from core.customers.customer import Customer
from core.customers.ports import CustomersUnitOfWork
from core.errors import DomainError
from core.metering.balance import FeatureNotInPlan
from core.plans.agreement import Override
from core.plans.drafts import limit_parts
from core.plans.plan import Enforcement


class InvalidUntil(DomainError):
    """An override that would have ended before it began."""

    message = "until must lie ahead; null: the override has no end."

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until

    def facts(self) -> Mapping[str, object]:
        return {"until": self.until}


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideLimitCommand:
    """The feature's limit, in its unit; None is unlimited. `enforcement` of None keeps the plan's."""

    customer_id: str
    feature: str
    limit: Decimal | None
    enforcement: Enforcement | None = None
    until: datetime | None = None
    reason: str | None = None
    changed_by: str


class OverrideLimit(ChangeTerms[OverrideLimitCommand]):
    """Put a customer's own limit of a metered feature in place of its plan's, at once.

    - It stays when the plan changes, until it ends or is removed; add-ons count on top of it.
    - A feature that the plan does not have comes with it, per billing period.
    """

    async def decide(self, command: OverrideLimitCommand, customer: Customer, uow: CustomersUnitOfWork, now: datetime) -> Agreed:
        """Raises FeatureNotInPlan where nobody has declared the feature, InvalidQuantity and InvalidUntil."""
        feature = (await uow.plans.features()).get(command.feature)
        if feature is None:
            raise FeatureNotInPlan(customer.plan_key, command.feature, declared=False)
        until = command.until and command.until.astimezone(UTC)
        if until is not None and until <= now:
            raise InvalidUntil(until)
        limit = None if command.limit is None else limit_parts(command.limit, feature)
        override = Override(feature.key, limit, command.enforcement, until, command.reason)
        entry = replace(self._entry(command, now, now, command.reason), override=override)
        return Agreed(replace(customer, agreement=customer.agreement.overriding(override)), [entry])


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOverrideCommand:
    """The plan's own limit of the feature is to count again."""

    customer_id: str
    feature: str
    changed_by: str


class EndOverride(ChangeTerms[EndOverrideCommand]):
    """Remove a customer's own limit, at once. Where there is none, nothing changes."""

    async def decide(self, command: EndOverrideCommand, customer: Customer, uow: CustomersUnitOfWork, now: datetime) -> Agreed:
        for override in customer.agreement.overrides:
            if override.feature == command.feature:
                ended = replace(override, until=now)
                entry = replace(self._entry(command, now, now), override=ended)
                return Agreed(replace(customer, agreement=customer.agreement.overriding(ended).at(now)), [entry])
        return Agreed(customer)
