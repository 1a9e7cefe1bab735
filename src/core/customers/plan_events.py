"""What is told of customers: that they are on another plan."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from core.customers.customer import Customer
from core.events.event import Event
from core.plans.agreement import PlanVersion

PLAN_CHANGED: Final = "customer.plan_changed"


def plan_changes(stored: Customer, after: Customer, now: datetime, new_id: Callable[[], UUID]) -> Iterator[Event]:
    """Of each plan that a customer went over to since it was stored: by a scheduled change that was due, and by one that is made now."""
    before, scheduled = stored.plan, stored.agreement.scheduled
    if scheduled is not None and (due := stored.agreement.due(now)) is not None:
        if due != before:
            once = f"{PLAN_CHANGED}:{scheduled.id}"
            yield _changed(after.id, before, due, scheduled.effective_at, new_id(), scheduled=True, once=once)
        before = due
    if after.plan != before:
        yield _changed(after.id, before, after.plan, now, new_id(), scheduled=False)


def _changed(
    customer_id: str, before: PlanVersion, after: PlanVersion, at: datetime, id: UUID, *, scheduled: bool, once: str | None = None
) -> Event:
    data = {
        "customer_id": customer_id,
        "plan": after[0],
        "plan_version": after[1],
        "previous_plan": before[0],
        "previous_plan_version": before[1],
        "effective_at": at,
        "scheduled": scheduled,
    }
    return Event(id=id, type=PLAN_CHANGED, customer_id=customer_id, occurred_at=at, data=data, once=once)
