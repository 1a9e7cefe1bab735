"""Create a customer, replace one, or change one in part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypedDict
from zoneinfo import ZoneInfo

from core.clock import Clock
from core.customers.customer import Customer
from core.customers.ports import CustomersUnitOfWork
from core.errors import DomainError
from core.metering.account import CustomerNotFound
from core.plans.periods import Billing, Interval
from core.plans.plan import PlanNotFound
from core.plans.ports import Plans

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


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def __init__(self, unit_of_work: Callable[[], CustomersUnitOfWork], clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def execute(self, command: PutCustomerCommand) -> tuple[Customer, bool]:
        """The customer, and whether it is new. Raises PlanNotFound, InvalidTimeZone and InvalidBillingAnchor."""
        now = self._clock()
        billing = Billing(_anchor(command.billing_anchor), command.billing_interval, _zone(command.time_zone))
        async with self._unit_of_work() as uow:
            await uow.customers.lock(command.customer_id)
            known = uow.customers.get(command.customer_id)
            customer = Customer(
                id=command.customer_id,
                plan_key=command.plan,
                plan_version=await _newest_version(uow.plans, command.plan),
                billing=billing,
                phone_region=command.phone_region,
                created_at=known.created_at if known else now,
                updated_at=now,
            )
            uow.customers.save(customer)
            await uow.commit()
        return customer, known is None


class ChangeCustomer:
    """Change a customer in part. A plan that is named is taken in its newest version, and takes effect at once."""

    def __init__(self, unit_of_work: Callable[[], CustomersUnitOfWork], clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def execute(self, customer_id: str, changes: CustomerChanges) -> Customer:
        """Raises CustomerNotFound, PlanNotFound, InvalidTimeZone and InvalidBillingAnchor."""
        async with self._unit_of_work() as uow:
            plan = (changes["plan"], await _newest_version(uow.plans, changes["plan"])) if "plan" in changes else None
            await uow.customers.lock(customer_id)
            known = uow.customers.get(customer_id)
            if known is None:
                raise CustomerNotFound(customer_id)
            billing = known.billing
            changed = replace(
                known,
                plan_key=plan[0] if plan else known.plan_key,
                plan_version=plan[1] if plan else known.plan_version,
                billing=Billing(
                    _anchor(changes["billing_anchor"]) if "billing_anchor" in changes else billing.anchor,
                    changes.get("billing_interval", billing.interval),
                    _zone(changes["time_zone"]) if "time_zone" in changes else billing.zone,
                ),
                phone_region=changes.get("phone_region", known.phone_region),
                updated_at=self._clock(),
            )
            uow.customers.save(changed)
            await uow.commit()
        return changed


async def _newest_version(plans: Plans, key: str) -> int:
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
