"""What the clock has brought about is written down: a scheduled change of plan that is due."""

from dataclasses import dataclass
from datetime import datetime

from core.customers.change_terms import Agreed, ChangeTerms
from core.customers.customer import Customer
from core.customers.ports import CustomersUnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeEffectCommand:
    """Names the customer."""

    customer_id: str
    changed_by: str


class TakeEffect(ChangeTerms[TakeEffectCommand]):
    """Tell of a scheduled change that is due, and hold what was used against the new limits. Decisions went by it before."""

    async def decide(self, command: TakeEffectCommand, customer: Customer, uow: CustomersUnitOfWork, now: datetime) -> Agreed:
        return Agreed(customer)
