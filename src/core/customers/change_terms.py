"""How every change of what was agreed with a customer is kept: in the customer, for decisions, and as an entry of its history."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from core.clock import Clock
from core.customers.customer import Customer
from core.customers.ports import CustomersUnitOfWork
from core.customers.under_new_terms import under_new_terms
from core.metering.account import CustomerNotFound
from core.plans.terms import TermsChange


async def agreed(
    uow: CustomersUnitOfWork, before: Customer | None, after: Customer, new_id: Callable[[], UUID], now: datetime, changed_by: str
) -> Customer:
    """Notes a change of plan or calendar that takes effect now, if there is one. `before` is None for a new customer.

    A change to another plan calls off the one that is scheduled, and so the customer may come back without it.
    """
    scheduled = after.agreement.scheduled
    if before is not None and before.plan_key != after.plan_key and scheduled is not None:
        after = await call_off(uow, after, now, changed_by)
    plan = after.plan if before is None or before.plan != after.plan else None
    billing = after.billing if before is None or before.billing != after.billing else None
    if plan or billing:
        uow.terms.save(
            TermsChange(
                id=new_id(),
                customer_id=after.id,
                effective_at=now,
                recorded_at=now,
                recorded_by=changed_by,
                plan=plan,
                billing=billing,
            )
        )
    return after


async def call_off(uow: CustomersUnitOfWork, customer: Customer, now: datetime, changed_by: str) -> Customer:
    """The customer without its scheduled change, which is kept in the history as one that never took effect."""
    scheduled = customer.agreement.scheduled
    assert scheduled is not None, "somebody looked"
    key = (customer.id, scheduled.id)
    await uow.terms.load([key])
    entry = uow.terms.get(key)
    assert entry is not None, "it is written together with the customer"
    uow.terms.save(replace(entry, withdrawn_at=now, withdrawn_by=changed_by))
    return replace(customer, agreement=replace(customer.agreement, scheduled=None))


class TermsCommand(Protocol):
    """A command that changes what was agreed with one customer."""

    @property
    def customer_id(self) -> str: ...

    @property
    def changed_by(self) -> str: ...


C = TypeVar("C", bound=TermsCommand)


@dataclass(frozen=True, slots=True)
class Agreed:
    """The customer after a change, and the entries that the history gets for it."""

    customer: Customer
    entries: Iterable[TermsChange] = ()


class ChangeTerms(Generic[C]):
    """A change of an existing customer's agreement, decided on the customer as the clock has it."""

    def __init__(self, unit_of_work: Callable[[], CustomersUnitOfWork], clock: Clock, new_id: Callable[[], UUID]) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._new_id = new_id

    async def decide(self, command: C, customer: Customer, uow: CustomersUnitOfWork, now: datetime) -> Agreed:
        """What is agreed from now on, or a DomainError."""
        raise NotImplementedError

    async def execute(self, command: C) -> Customer:
        """The customer after the change. Raises CustomerNotFound, and what `decide` raises."""
        now = self._clock()
        async with self._unit_of_work() as uow:
            await uow.customers.lock(command.customer_id)
            known = uow.customers.get(command.customer_id)
            if known is None:
                raise CustomerNotFound(command.customer_id)
            now = known.not_before(now)
            agreed = await self.decide(command, known.at(now), uow, now)
            for entry in agreed.entries:
                uow.terms.save(entry)
            changed = replace(agreed.customer, updated_at=now)
            uow.customers.save(changed)
            await under_new_terms(uow, known, changed, now, self._new_id)
            await uow.commit()
        return agreed.customer

    def _entry(self, command: C, now: datetime, effective_at: datetime, reason: str | None = None) -> TermsChange:
        """An entry about nothing yet."""
        return TermsChange(
            id=self._new_id(),
            customer_id=command.customer_id,
            effective_at=effective_at,
            recorded_at=now,
            recorded_by=command.changed_by,
            reason=reason,
        )
