"""The engine in the test's own process: the real container on a real database, with a clock that the test sets."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from api.container import Container, closed
from api.settings import Settings
from core.customers.customer import Customer
from core.errors import DomainError
from core.metering.balance import Amount, Balance
from core.metering.consume_usage import ConsumeUsageCommand, Mode
from core.metering.idempotency import Once
from core.metering.ledger import Origin
from core.metering.use_case import Call
from core.plans.drafts import EntitlementDraft, MeteredDraft, PlanDraft
from core.plans.features import Feature
from core.plans.periods import Billing, Interval
from core.reconciliation.drift import Drift
from tests.integration.service import new_id

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ORIGIN = Origin("test", "key 1", "order 7")


@dataclass
class Engine:
    """A container whose clock stands at `now` until the test moves it; None: the system's clock."""

    container: Container
    now: datetime | None = NOW
    plans: set[str] = field(default_factory=set)

    async def publish(self, draft: PlanDraft, resolutions: dict[str, int] | None = None) -> None:
        """A plan, with the features that it meters declared."""
        known = await self.container.plan_reader().features()
        for key, entitlement in draft.entitlements.items():
            if isinstance(entitlement, MeteredDraft) and known.get(key) is None:
                await self.container.declare_feature().execute(Feature(key, "unit", (resolutions or {}).get(key, 1)))
        await self.container.publish_plan().execute(draft)

    async def customer(self, id: str = "", *, anchor: datetime | None = ANCHOR, **limits: int | None) -> str:
        """A customer on a plan with these limits, billed monthly."""
        id = id or new_id()
        entitlements: dict[str, EntitlementDraft] = {
            key: MeteredDraft(None if limit is None else Decimal(limit)) for key, limit in limits.items()
        }
        plan = new_id("plan")
        await self.publish(PlanDraft(plan, "Plan", entitlements))
        billing = Billing(anchor, Interval.MONTH, ZoneInfo("UTC"))
        await self.put(Customer(id, plan, 1, billing, created_at=self.time(), updated_at=self.time()))
        return id

    async def put(self, customer: Customer) -> None:
        """Creates the customer, or replaces what is known of it."""
        async with self.container.unit_of_work() as uow:
            await uow.customers.lock(customer.id)
            uow.customers.save(customer)
            await uow.commit()

    def time(self) -> datetime:
        now: datetime = self.container.clock()()
        return now

    async def balance(self, customer_id: str, feature: str) -> Balance:
        account = await self.container.account_reader().read(customer_id, [feature], self.time())
        return account.balance(feature)

    async def drift(self, *customer_ids: str) -> Sequence[Drift]:
        found: Sequence[Drift] = await self.container.reconcile().find(customer_ids)
        return found


@asynccontextmanager
async def engine_on(database_url: str, *, now: datetime | None = NOW, **replaced: Any) -> AsyncIterator[Engine]:
    """A container on this database; `replaced` are providers by name, and what stands in for them."""
    container = Container(settings=Settings(database_url=database_url))
    engine = Engine(container, now)
    system_clock = container.clock()
    container.clock.override(lambda: engine.now or system_clock())
    for name, provider in replaced.items():
        getattr(container, name).override(provider)
    try:
        yield engine
    finally:
        await closed(container)


def consume(customer_id: str, feature: str, quantity: int = 1, key: str | None = None, **fields: Any) -> Call[ConsumeUsageCommand]:
    """A call to consume so much of one feature; the same key with the same input is a repeat."""
    asked = f"{customer_id} {feature} {quantity} {fields}".encode()
    once = Once(key, asked, lambda result: b"booked") if key else None
    return Call(ConsumeUsageCommand(customer_id=customer_id, amounts=[Amount(feature, Decimal(quantity))], origin=ORIGIN, **fields), once)


def record(customer_id: str, feature: str, quantity: int = 1, key: str | None = None, **fields: Any) -> Call[ConsumeUsageCommand]:
    return consume(customer_id, feature, quantity, key, mode=Mode.RECORD, **fields)


async def at_once(calls: Collection[Any]) -> list[Any]:
    """The results of calls that run side by side; a refusal is a result."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, DomainError):
            raise result
    return list(results)
