"""/api/v1/customers: who is metered."""

from datetime import datetime
from typing import cast

from fastapi import APIRouter, Request
from pydantic import Field

from api.dependencies import CustomerAdmin, CustomerReader, container_of
from api.docs import refusals
from api.frame.route import FrameRoute
from api.replies import Reply
from api.v1.bodies import PeriodBody
from api.wire import Answer, Instant, Key, Label, Wire
from core.customers.customer import Customer
from core.customers.put_customer import CustomerChanges, PutCustomerCommand
from core.plans.periods import Interval, Reset

router = APIRouter(prefix="/api/v1/customers", tags=["customers"], route_class=FrameRoute)


_REFUSED = ("invalid_time_zone", "invalid_billing_anchor", "invalid_phone_region")


class CustomerPatch(Wire):
    """What is to change: what is absent stays, and null clears."""

    # The defaults are never used, and so not shown: only the fields that were sent are looked at.
    plan: Key = Field(default_factory=str)
    billing_anchor: Instant | None = Field(
        default_factory=lambda: None, description="where billing periods are counted from; null: one period that counts everything"
    )
    billing_interval: Interval = Field(default_factory=lambda: Interval.MONTH)
    time_zone: Label = Field(default_factory=str, description="an IANA name", examples=["Europe/Vienna"])
    phone_region: Label | None = Field(
        default_factory=lambda: None,
        description="the country (ISO 3166) in which phone numbers without a country code are at home",
        examples=["US"],
    )

    def changes(self) -> CustomerChanges:
        """What was sent."""
        return cast(CustomerChanges, self.model_dump(exclude_unset=True))


class CustomerBody(CustomerPatch):
    """A customer. What is absent stays as it is stored; a new customer is billed monthly from its creation, in UTC, and has no region."""

    plan: Key


class CustomerAnswer(Answer):
    """A customer, with the billing period that contains now."""

    customer_id: str
    plan: str
    plan_version: int
    billing_anchor: datetime | None
    billing_interval: Interval
    time_zone: str
    phone_region: str | None
    period: PeriodBody

    @classmethod
    def of(cls, customer: Customer, now: datetime) -> "CustomerAnswer":
        billing = customer.billing
        return cls(
            customer_id=customer.id,
            plan=customer.plan_key,
            plan_version=customer.plan_version,
            billing_anchor=billing.anchor,
            billing_interval=billing.interval,
            time_zone=billing.zone.key,
            phone_region=customer.phone_region,
            period=PeriodBody.of(billing.period(Reset.BILLING_PERIOD, now)),
        )


@router.put(
    "/{customer_id}",
    response_model=CustomerAnswer,
    responses={201: {"model": CustomerAnswer, "description": "The customer is new."}, **refusals("plan_not_found", *_REFUSED)},
)
async def put_customer(request: Request, caller: CustomerAdmin, body: CustomerBody) -> Reply:
    """Create a customer, or change one: a key that is absent keeps what is stored, and null clears it.

    The customer is put on the plan's newest version, and stays on it until a plan is named again. A new customer's billing periods are
    counted from its creation unless an anchor is sent. Takes effect at once; what has been used stays.
    """
    container = container_of(request)
    command = PutCustomerCommand(customer_id=caller.customer_id, plan=body.plan, changes=body.changes())
    customer, is_new = await container.put_customer().execute(command)
    return Reply.of(CustomerAnswer.of(customer, container.clock()()), 201 if is_new else 200)


@router.patch("/{customer_id}", responses=refusals("plan_not_found", *_REFUSED))
async def patch_customer(request: Request, caller: CustomerAdmin, body: CustomerPatch) -> CustomerAnswer:
    """Change a customer in part. A plan or an anchor takes effect at once."""
    container = container_of(request)
    customer = await container.change_customer().execute(caller.customer_id, body.changes())
    return CustomerAnswer.of(customer, container.clock()())


@router.get("/{customer_id}")
async def get_customer(request: Request, caller: CustomerReader) -> CustomerAnswer:
    """A customer, with the billing period that contains now."""
    container = container_of(request)
    return CustomerAnswer.of(await container.customer_reader().get(caller.customer_id), container.clock()())
