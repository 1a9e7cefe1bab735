"""Put a customer on another plan later: at an instant, or when its billing period ends."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from core.customers.change_terms import Agreed, ChangeTerms, call_off
from core.customers.customer import Customer
from core.customers.ports import CustomersUnitOfWork, newest_plan
from core.customers.put_customer import ANCHOR_LATEST
from core.errors import DomainError
from core.plans.agreement import ScheduledPlan
from core.plans.periods import Reset


class Moment(StrEnum):
    """An instant that goes by a name."""

    PERIOD_END = "period_end"


class InvalidEffectiveAt(DomainError):
    """A change cannot take effect then."""

    def __init__(self, effective_at: datetime | None, why: str) -> None:
        super().__init__(effective_at, why)
        self.effective_at, self.message = effective_at, why

    def facts(self) -> Mapping[str, object]:
        return {"effective_at": self.effective_at}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePlanCommand:
    """The customer goes over to `plan` at `effective_at`."""

    customer_id: str
    plan: str
    effective_at: datetime | Moment
    changed_by: str


class SchedulePlan(ChangeTerms[SchedulePlanCommand]):
    """Put a customer on a plan later.

    - It takes effect by the clock, at that instant exactly: no job has to run, and usage of the period is kept.
    - The version is the plan's newest now. There is one scheduled change at a time: another one takes its place.
    - A customer whose billing period never ends has no end of a period to wait for.
    """

    async def decide(self, command: SchedulePlanCommand, customer: Customer, uow: CustomersUnitOfWork, now: datetime) -> Agreed:
        """Raises PlanNotFound and InvalidEffectiveAt."""
        plan = await newest_plan(uow.plans, command.plan)
        at = _instant(command.effective_at, customer, now)
        if customer.agreement.scheduled is not None:
            customer = await call_off(uow, customer, now, command.changed_by)
        entry = replace(self._entry(command, now, at), plan=(plan.key, plan.version))
        scheduled = ScheduledPlan(entry.id, (plan.key, plan.version), at)
        return Agreed(replace(customer, agreement=replace(customer.agreement, scheduled=scheduled)), [entry])


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOffPlanCommand:
    """The customer stays on the plan that it is on."""

    customer_id: str
    changed_by: str


class CallOffPlan(ChangeTerms[CallOffPlanCommand]):
    """Call a scheduled change off. Where none is scheduled, nothing changes."""

    async def decide(self, command: CallOffPlanCommand, customer: Customer, uow: CustomersUnitOfWork, now: datetime) -> Agreed:
        if customer.agreement.scheduled is None:
            return Agreed(customer)
        return Agreed(await call_off(uow, customer, now, command.changed_by))


def _instant(wanted: datetime | Moment, customer: Customer, now: datetime) -> datetime:
    if isinstance(wanted, Moment):
        end = customer.billing.period(Reset.BILLING_PERIOD, now).resets_at
        if end is None:
            raise InvalidEffectiveAt(None, "The customer's billing period never ends: name the instant in effective_at.")
        return end
    wanted = wanted.astimezone(UTC)
    if wanted <= now:
        raise InvalidEffectiveAt(wanted, "effective_at must lie ahead; without it, a change takes effect at once.")
    if wanted > ANCHOR_LATEST:
        raise InvalidEffectiveAt(wanted, f"effective_at must lie before {ANCHOR_LATEST.year}.")
    return wanted
