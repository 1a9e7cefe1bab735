"""/api/v1/customers: who is metered."""

from datetime import datetime
from typing import Annotated, cast

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, Field

from api.dependencies import CustomerAdmin, CustomerReader, container_of
from api.docs import refusals
from api.frame.route import FrameRoute
from api.v1.bodies import PeriodBody
from api.wire import Answer, Instant, Key, Label, Wire
from core.customers.customer import Customer
from core.customers.put_customer import CustomerChanges, PutCustomerCommand
from core.plans.periods import Interval, Reset

router = APIRouter(prefix="/api/v1/customers", tags=["customers"], route_class=FrameRoute)


def _region(value: str) -> str:
    if not (len(value) == 2 and value.isascii() and value.isalpha() and value.isupper()):
        raise ValueError("an ISO 3166 country code of two capital letters is expected, such as 'US'")
    return value


Region = Annotated[str, AfterValidator(_region)]


class CustomerBody(Wire):
    """Everything about a customer."""

    plan: Key
    billing_anchor: Instant | None = Field(None, description="where billing periods are counted from; null: one period without end")
    billing_interval: Interval = Interval.MONTH
    time_zone: Label = "UTC"
    phone_region: Region | None = None


class CustomerPatch(Wire):
    """What is to change; what is absent stays. The defaults are never used: only the fields that were sent are looked at."""

    plan: Key = Field(default_factory=str)
    billing_anchor: Instant | None = None
    billing_interval: Interval = Field(default_factory=lambda: Interval.MONTH)
    time_zone: Label = Field(default_factory=str)
    phone_region: Region | None = None


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
    responses={201: {"model": CustomerAnswer, "description": "The customer is new."}, **refusals("plan_not_found", "invalid_time_zone")},
)
async def put_customer(request: Request, caller: CustomerAdmin, body: CustomerBody, response: Response) -> CustomerAnswer:
    """Create a customer, or replace all that is known of one.

    The customer is put on the plan's newest version, and stays on it until a plan is named again. Takes effect at once; what has been
    used stays.
    """
    container = container_of(request)
    command = PutCustomerCommand(
        customer_id=caller.customer_id,
        plan=body.plan,
        billing_anchor=body.billing_anchor,
        billing_interval=body.billing_interval,
        time_zone=body.time_zone,
        phone_region=body.phone_region,
    )
    customer, is_new = await container.put_customer().execute(command)
    response.status_code = 201 if is_new else 200
    return CustomerAnswer.of(customer, container.clock()())


@router.patch("/{customer_id}", responses=refusals("plan_not_found", "invalid_time_zone"))
async def patch_customer(request: Request, caller: CustomerAdmin, body: CustomerPatch) -> CustomerAnswer:
    """Change a customer in part. A plan or an anchor takes effect at once."""
    container = container_of(request)
    changes = cast(CustomerChanges, body.model_dump(exclude_unset=True))
    customer = await container.change_customer().execute(caller.customer_id, changes)
    return CustomerAnswer.of(customer, container.clock()())


@router.get("/{customer_id}")
async def get_customer(request: Request, caller: CustomerReader) -> CustomerAnswer:
    """A customer, with the billing period that contains now."""
    container = container_of(request)
    return CustomerAnswer.of(await container.customer_reader().get(caller.customer_id), container.clock()())
