"""Put a plan on top of a customer's own: two more seat packs, a bundle of minutes."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from core.customers.change_terms import Agreed, ChangeTerms
from core.customers.customer import Customer
from core.customers.ports import CustomersUnitOfWork, newest_plan
from core.errors import DomainError
from core.plans.agreement import Addon

ADDONS_MAX: Final = 50
"""How many add-ons one customer may have; each is added up in every decision."""


class TooManyAddons(DomainError):
    """A customer has all the add-ons that it may have."""

    message = f"A customer may have at most {ADDONS_MAX} add-ons: remove one, or sell a plan that holds several."


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAddonCommand:
    """The plan counts `quantity` times on top of the customer's own; not at all where that is 0."""

    customer_id: str
    plan: str
    quantity: int
    changed_by: str


class PutAddon(ChangeTerms[PutAddonCommand]):
    """Put a plan on top of a customer's own, at once, in place of how often it counted before.

    - Its metered limits and static numbers count so many times, in its newest version; its booleans switch on.
    - Removing what is not there changes nothing.
    """

    async def decide(self, command: PutAddonCommand, customer: Customer, uow: CustomersUnitOfWork, now: datetime) -> Agreed:
        """Raises PlanNotFound and TooManyAddons."""
        known = next((addon for addon in customer.agreement.addons if addon.version[0] == command.plan), None)
        if command.quantity == 0:
            if known is None:
                return Agreed(customer)
            addon = replace(known, quantity=0)
        else:
            plan = await newest_plan(uow.plans, command.plan)
            addon = Addon((plan.key, plan.version), command.quantity)
            if known is None and len(customer.agreement.addons) >= ADDONS_MAX:
                raise TooManyAddons
        if addon == known:
            return Agreed(customer)
        entry = replace(self._entry(command, now, now), addon=addon)
        return Agreed(replace(customer, agreement=customer.agreement.adding(addon)), [entry])
