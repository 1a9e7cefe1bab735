"""Create a customer, or change one in what is named."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

from core.clock import Clock
from core.customers.change_terms import agreed
from core.customers.customer import Customer
from core.customers.phone_region import known_region
from core.customers.ports import CustomersUnitOfWork, PhoneRegions, newest_plan
from core.customers.under_new_terms import under_new_terms
from core.errors import DomainError
from core.metering.account import CustomerNotFound
from core.plans.periods import Billing, Interval, Weekday
from core.plans.plan import Plan

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
    """What is to change; what is absent stays, and None clears: the default takes its place."""

    plan: str
    billing_anchor: datetime | None
    billing_interval: Interval | None
    billing_interval_count: int | None
    time_zone: str | None
    week_starts_on: Weekday | None
    phone_region: str | None
    email: str | None
    locale: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutCustomerCommand:
    """The customer is put on the newest version of `plan`, and the changes are made. `changed_by` is kept with what was changed."""

    customer_id: str
    plan: str
    changes: CustomerChanges
    changed_by: str


class PutCustomer:
    """Create a customer, or change one in what is named.

    - What the changes do not name stays as it is. A new customer has its default: monthly billing periods in UTC that are counted from
      its creation. Only an anchor of None, said outright, gives one period that counts everything.
    - The customer stays on the plan's version that is the newest now until a plan is named again.
    - Everything takes effect at once, and keeps what has been used. Another plan than the customer's calls a scheduled change off.
    """

    def __init__(
        self, unit_of_work: Callable[[], CustomersUnitOfWork], clock: Clock, phone_regions: PhoneRegions, new_id: Callable[[], UUID]
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._phone_regions = phone_regions
        self._new_id = new_id

    async def execute(self, command: PutCustomerCommand) -> tuple[Customer, bool]:
        """The customer, and whether it is new.

        Raises CustomerBeingDeleted, PlanNotFound, InvalidTimeZone, InvalidBillingAnchor, InvalidPhoneRegion.
        """
        now = self._clock()
        async with self._unit_of_work() as uow:
            plan = await newest_plan(uow.plans, command.plan)
            await uow.customers.lock(command.customer_id)
            known = uow.customers.get(command.customer_id)
            if known is None:
                await uow.customers.require_gone(command.customer_id)
            now = known.not_before(now) if known else now
            before = known.at(now) if known else _new(command.customer_id, plan, now)
            customer = _changed(before, command.changes, plan, self._phone_regions, now)
            customer = await agreed(uow, known and before, customer, self._new_id, now, command.changed_by)
            uow.customers.save(customer)
            if known is not None:
                await under_new_terms(uow, known, customer, now, self._new_id)
            await uow.commit()
        return customer, known is None


class ChangeCustomer:
    """Change a customer in what is named. A plan that is named is taken in its newest version, and takes effect at once."""

    def __init__(
        self, unit_of_work: Callable[[], CustomersUnitOfWork], clock: Clock, phone_regions: PhoneRegions, new_id: Callable[[], UUID]
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._phone_regions = phone_regions
        self._new_id = new_id

    async def execute(self, customer_id: str, changes: CustomerChanges, changed_by: str) -> Customer:
        """Raises CustomerNotFound, PlanNotFound, InvalidTimeZone, InvalidBillingAnchor and InvalidPhoneRegion."""
        now = self._clock()
        async with self._unit_of_work() as uow:
            plan = await newest_plan(uow.plans, changes["plan"]) if "plan" in changes else None
            await uow.customers.lock(customer_id)
            known = uow.customers.get(customer_id)
            if known is None:
                raise CustomerNotFound(customer_id)
            now = known.not_before(now)
            before = known.at(now)
            customer = _changed(before, changes, plan, self._phone_regions, now)
            customer = await agreed(uow, before, customer, self._new_id, now, changed_by)
            uow.customers.save(customer)
            await under_new_terms(uow, known, customer, now, self._new_id)
            await uow.commit()
        return customer


_INTERVAL: Final = Interval.MONTH
_ZONE: Final = ZoneInfo("UTC")


def _new(id: str, plan: Plan, now: datetime) -> Customer:
    billing = Billing(now, _INTERVAL, _ZONE)
    return Customer(id=id, plan_key=plan.key, plan_version=plan.version, billing=billing, created_at=now, updated_at=now)


def _changed(customer: Customer, changes: CustomerChanges, plan: Plan | None, regions: PhoneRegions, now: datetime) -> Customer:
    """`plan` is the newest version of the one that is named, if one is."""
    return replace(
        customer.on((plan.key, plan.version)) if plan else customer,
        billing=_billing(customer.billing, changes),
        phone_region=_region(changes["phone_region"], regions) if "phone_region" in changes else customer.phone_region,
        email=changes.get("email", customer.email),
        locale=changes.get("locale", customer.locale),
        updated_at=now,
    )


def _billing(billing: Billing, changes: CustomerChanges) -> Billing:
    return Billing(
        _anchor(changes["billing_anchor"]) if "billing_anchor" in changes else billing.anchor,
        changes.get("billing_interval", billing.interval) or _INTERVAL,
        _zone(changes["time_zone"]) if "time_zone" in changes else billing.zone,
        changes.get("billing_interval_count", billing.interval_count) or 1,
        changes.get("week_starts_on", billing.week_starts_on) or Weekday.MONDAY,
    )


def _anchor(anchor: datetime | None) -> datetime | None:
    if anchor is None:
        return None
    anchor = anchor.astimezone(UTC)
    if not ANCHOR_EARLIEST <= anchor <= ANCHOR_LATEST:
        raise InvalidBillingAnchor
    return anchor


def _region(name: str | None, regions: PhoneRegions) -> str | None:
    return None if name is None else known_region(name, regions.known())


def _zone(name: str | None) -> ZoneInfo:
    if name is None:
        return _ZONE
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidTimeZone(name) from error
