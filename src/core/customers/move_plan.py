"""Move the customers of a plan to its newest version: now, or each at the end of its own billing period."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from core.clock import Clock
from core.customers.customer import Customer
from core.customers.ports import CustomerReader
from core.customers.put_customer import CustomerChanges
from core.customers.schedule_plan import InvalidEffectiveAt, Moment, SchedulePlanCommand
from core.errors import DomainError
from core.metering.account import Account, CustomerNotFound
from core.metering.ports import AccountReader
from core.plans.plan import Metered, Plan, PlanNotFound
from core.plans.ports import PlanReader

PAGE_SIZE: Final = 200


class Change(Protocol):
    """Changes a customer, in a transaction of its own."""

    async def execute(self, customer_id: str, changes: CustomerChanges, changed_by: str) -> Customer: ...


class Schedule(Protocol):
    """Schedules a change of plan, in a transaction of its own."""

    async def execute(self, command: SchedulePlanCommand) -> Customer: ...


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one customer, or would: the version that it is on, and the features of which it uses more than it may then.

    `refused` says why it stays where it is.
    """

    customer_id: str
    from_version: int
    over: Sequence[str] = ()
    refused: DomainError | None = None


class MovePlan:
    """Move the customers of a plan to its newest version.

    - Each is a change of its own, kept in its history; who is there already, or leaves the plan meanwhile, is left out. So it can be
      stopped and run again.
    - What has been used is kept: whoever uses more than the new limit is admitted nothing more until the period ends.
    - A customer whose billing period never ends cannot be moved at its end; nor is one for which another change is scheduled.
    """

    def __init__(
        self, customers: CustomerReader, accounts: AccountReader, plans: PlanReader, change: Change, schedule: Schedule, clock: Clock
    ) -> None:
        self._customers = customers
        self._accounts = accounts
        self._plans = plans
        self._change = change
        self._schedule = schedule
        self._clock = clock

    async def execute(self, key: str, changed_by: str, *, at_period_end: bool = False, dry_run: bool = False) -> AsyncIterator[Moved]:
        """Customer by customer, as it goes. Raises PlanNotFound."""
        newest = await self._plans.latest(key)
        if newest is None:
            raise PlanNotFound(key)
        after = ""
        while page := await self._customers.on_older_version(key, newest.version, after, PAGE_SIZE):
            for customer in page:
                try:
                    account = await self._accounts.read(customer.id, None, self._clock())
                except CustomerNotFound:
                    continue
                if customer.at(account.now).plan_key != key:
                    continue
                standing = customer.at(account.now)
                scheduled = standing.agreement.scheduled
                if at_period_end and scheduled and scheduled.version == (key, newest.version):
                    continue
                over = await self._over(standing, account, newest)
                refused: DomainError | None = None
                if at_period_end and scheduled:
                    refused = InvalidEffectiveAt(scheduled.effective_at, f"A change to {scheduled.version[0]!r} is scheduled: it stays.")
                elif not dry_run:
                    refused = await self._move(customer.id, key, changed_by, at_period_end=at_period_end)
                yield Moved(customer.id, customer.plan_version, over, refused)
            after = page[-1].id

    async def _move(self, customer_id: str, key: str, changed_by: str, *, at_period_end: bool) -> DomainError | None:
        try:
            if at_period_end:
                await self._schedule.execute(
                    SchedulePlanCommand(customer_id=customer_id, plan=key, effective_at=Moment.PERIOD_END, changed_by=changed_by)
                )
            else:
                await self._change.execute(customer_id, {"plan": key}, changed_by)
        except (CustomerNotFound, InvalidEffectiveAt) as refusal:
            return refusal
        return None

    async def _over(self, customer: Customer, account: Account, newest: Plan) -> Sequence[str]:
        plan = await self._plans.applying((newest.key, newest.version), customer.agreement)
        over = []
        for feature, entitlement in plan.entitlements.items():
            if isinstance(entitlement, Metered) and entitlement.limit is not None and account.knows(feature):
                balance = account.balance(feature)
                if balance.used + balance.held > entitlement.limit:
                    over.append(feature)
        return over
