"""What a change of a customer's terms brings about in its own transaction: it is told, and usage is held against the new limits."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from core.customers.customer import Customer
from core.customers.plan_events import plan_changes
from core.customers.ports import CustomersUnitOfWork
from core.metering.meters import Meter
from core.metering.telling import tell
from core.plans.plan import Metered
from core.plans.terms import Terms


async def under_new_terms(uow: CustomersUnitOfWork, stored: Customer, after: Customer, now: datetime, new_id: Callable[[], UUID]) -> None:
    """Tells that the customer, which is saved, is on another plan, and raises the thresholds that its usage stands at by now.

    The counters of all that the plan meters are locked for it, so that nobody books by the old terms meanwhile and is overlooked.
    """
    for event in plan_changes(stored, after, now, new_id):
        uow.outbox.add(event)
    if _terms(stored) == _terms(after):
        return
    plan = await uow.plans.applying(after.plan, after.agreement.at(now))
    meters = [Meter(after.id, feature) for feature, entitlement in plan.entitlements.items() if isinstance(entitlement, Metered)]
    if meters:
        await uow.flush()
        await tell((await uow.accounts.lock({after.id: meters}, at=now)).values(), uow)


def _terms(customer: Customer) -> Terms:
    """What decisions follow from; a change that lies ahead is no part of it."""
    return Terms(customer.plan, customer.billing, replace(customer.agreement, scheduled=None))
