"""Create a customer, replace one, or change one in part."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypedDict
from zoneinfo import ZoneInfo

from core.clock import Clock
from core.customers.customer import Customer
from core.customers.ports import Customers
from core.errors import DomainError
from core.plans.periods import Billing, Interval
from core.plans.plan import PlanNotFound
from core.plans.ports import PlanRepository

ANCHOR_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
ANCHOR_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


class InvalidTimeZone(DomainError):
    """Not a time zone of the IANA database."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
        self.message = f"Unknown time zone {name!r}: an IANA name such as 'Europe/Vienna' is expected."

    def facts(self) -> Mapping[str, object]:
        return {"time_zone": self.name}


class InvalidBillingAnchor(DomainError):
    """An anchor that no billing cycle has."""

    message = f"billing_anchor must lie between {ANCHOR_EARLIEST.year} and {ANCHOR_LATEST.year}."


class CustomerChanges(TypedDict, total=False):
    """What is to change; what is absent stays."""

    plan: str
    billing_anchor: datetime | None
    billing_interval: Interval
    time_zone: str
    phone_region: str | None


@dataclass(frozen=True, slots=True)
class PutCustomerCommand:
    """Everything about a customer. `plan` is a plan's key: the customer gets its newest version."""

    customer_id: str
    plan: str
    billing_anchor: datetime | None
    billing_interval: Interval
    time_zone: str
    phone_region: str | None


class PutCustomer:
    """Create a customer or replace what is known of it.

    - The customer is put on the newest version of the plan, and stays on that version until a plan is named again.
    - Everything takes effect at once, and keeps what has been used.
    """

    def __init__(self, customers: Customers, plans: PlanRepository, clock: Clock) -> None:
        self._customers = customers
        self._plans = plans
        self._clock = clock

    async def execute(self, command: PutCustomerCommand) -> tuple[Customer, bool]:
        """The customer, and whether it is new. Raises PlanNotFound, InvalidTimeZone and InvalidBillingAnchor."""
        billing = Billing(_anchor(command.billing_anchor), command.billing_interval, _zone(command.time_zone))
        version = await _newest_version(self._plans, command.plan)
        customer = Customer(command.customer_id, command.plan, version, billing, command.phone_region)
        return customer, await self._customers.put(customer, self._clock())


class ChangeCustomer:
    """Change a customer in part. A plan that is named is taken in its newest version, and takes effect at once."""

    def __init__(self, customers: Customers, plans: PlanRepository, clock: Clock) -> None:
        self._customers = customers
        self._plans = plans
        self._clock = clock

    async def execute(self, customer_id: str, changes: CustomerChanges) -> Customer:
        """Raises CustomerNotFound, PlanNotFound, InvalidTimeZone and InvalidBillingAnchor."""
        plan = (changes["plan"], await _newest_version(self._plans, changes["plan"])) if "plan" in changes else None

        def changed(customer: Customer) -> Customer:
            billing = customer.billing
            return replace(
                customer,
                plan_key=plan[0] if plan else customer.plan_key,
                plan_version=plan[1] if plan else customer.plan_version,
                billing=Billing(
                    _anchor(changes["billing_anchor"]) if "billing_anchor" in changes else billing.anchor,
                    changes.get("billing_interval", billing.interval),
                    _zone(changes["time_zone"]) if "time_zone" in changes else billing.zone,
                ),
                phone_region=changes.get("phone_region", customer.phone_region),
            )

        return await self._customers.change(customer_id, changed, self._clock())


async def _newest_version(plans: PlanRepository, key: str) -> int:
    plan = await plans.latest(key)
    if plan is None:
        raise PlanNotFound(key)
    return plan.version


def _anchor(anchor: datetime | None) -> datetime | None:
    if anchor is None:
        return None
    anchor = anchor.astimezone(UTC)
    if not ANCHOR_EARLIEST <= anchor <= ANCHOR_LATEST:
        raise InvalidBillingAnchor
    return anchor


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidTimeZone(name) from error
