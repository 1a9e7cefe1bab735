"""/api/v1/customers: who is metered."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema, model_validator

from api.dependencies import CustomerAdmin, CustomerReader, ServiceReader, container_of
from api.docs import refusals
from api.frame.route import FrameRoute
from api.replies import Reply
from api.v1.bodies import PeriodBody
from api.wire import Answer, Cursor, Email, Instant, Key, Label, LanguageTag, Limit, Page, QueryInteger, Wire, from_cursor, to_cursor
from core.customers.customer import Customer
from core.customers.list_customers import ListCustomersQuery
from core.customers.put_customer import CustomerChanges, PutCustomerCommand
from core.customers.schedule_plan import Moment, SchedulePlanCommand
from core.plans.periods import INTERVAL_COUNT_MAX, Interval, Reset, Weekday

router = APIRouter(prefix="/api/v1/customers", tags=["customers"], route_class=FrameRoute)


_INSTANT: Final = TypeAdapter(Instant)


def _moment(value: Any) -> datetime | Moment:
    if value == Moment.PERIOD_END:
        return Moment.PERIOD_END
    try:
        return _INSTANT.validate_python(value)
    except ValidationError as error:
        raise ValueError("'period_end' is expected, or a time in RFC 3339 with an offset, such as '2027-01-01T00:00:00Z'") from error


EffectiveAt = Annotated[
    datetime | Moment, PlainValidator(_moment), WithJsonSchema({"type": "string", "examples": ["period_end", "2027-01-01T00:00:00Z"]})
]
"""An instant, or `period_end`."""

_VERSION_MAX: Final = 2**31 - 1
_REFUSED = ("invalid_time_zone", "invalid_billing_anchor", "invalid_phone_region")


class CustomerFields(Wire):
    """What is to change: what is absent stays, and null clears."""

    # The defaults are never used, and so not shown: only the fields that were sent are looked at.
    plan: Key = Field(default_factory=str)
    billing_anchor: Instant | None = Field(
        default_factory=lambda: None, description="where billing periods are counted from; null: one period that counts everything"
    )
    billing_interval: Interval | None = Field(default_factory=lambda: None)
    billing_interval_count: Annotated[int, Field(ge=1, le=INTERVAL_COUNT_MAX, strict=True)] | None = Field(
        default_factory=lambda: None, description="how many intervals a billing period has: quarters are 3 months", examples=[3]
    )
    time_zone: Label | None = Field(default_factory=lambda: None, description="an IANA name", examples=["Europe/Vienna"])
    week_starts_on: Weekday | None = Field(default_factory=lambda: None, description="the day that weekly limits reset on")
    phone_region: Label | None = Field(
        default_factory=lambda: None,
        description="the country (ISO 3166) in which phone numbers without a country code are at home",
        examples=["US"],
    )

    email: Email | None = Field(default_factory=lambda: None, description="where alerts go", examples=["team@example.com"])
    locale: LanguageTag | None = Field(default_factory=lambda: None, description="a language tag: how it is written to", examples=["de"])

    def changes(self) -> CustomerChanges:
        """What was sent."""
        return cast(CustomerChanges, self.model_dump(exclude_unset=True))


class CustomerPatch(CustomerFields):
    """What is to change: what is absent stays, and null clears. With `effective_at`, the plan alone changes, then."""

    effective_at: EffectiveAt | None = Field(
        default_factory=lambda: None, description="when the plan changes: an instant ahead, or `period_end`; absent or null: at once"
    )

    @model_validator(mode="after")
    def _plan_alone(self) -> "CustomerPatch":
        if self.effective_at is not None and self.model_fields_set != {"plan", "effective_at"}:
            raise ValueError("with effective_at, plan is expected and nothing else: other changes take effect at once")
        return self

    def changes(self) -> CustomerChanges:
        """What was sent, of what takes effect at once."""
        return cast(CustomerChanges, self.model_dump(exclude_unset=True, exclude={"effective_at"}))


class CustomerBody(CustomerFields):
    """A customer. What is absent stays as it is stored; a new customer is billed monthly from its creation, in UTC, and has no region."""

    plan: Key


class ScheduledAnswer(Answer):
    """A change of plan that takes effect by itself."""

    plan: str
    plan_version: int
    effective_at: datetime


class CustomerAnswer(Answer):
    """A customer, with the billing period that contains now."""

    customer_id: str
    plan: str
    plan_version: int
    billing_anchor: datetime | None
    billing_interval: Interval
    billing_interval_count: int
    time_zone: str
    week_starts_on: Weekday
    phone_region: str | None
    email: str | None
    locale: str | None
    period: PeriodBody
    scheduled: ScheduledAnswer | None
    addons: Annotated[dict[str, int], Field(description="how often each plan counts on top of the customer's own")]

    @classmethod
    def of(cls, customer: Customer, now: datetime) -> "CustomerAnswer":
        customer = customer.at(now)
        billing, scheduled = customer.billing, customer.agreement.scheduled
        return cls(
            customer_id=customer.id,
            plan=customer.plan_key,
            plan_version=customer.plan_version,
            billing_anchor=billing.anchor,
            billing_interval=billing.interval,
            billing_interval_count=billing.interval_count,
            time_zone=billing.zone.key,
            week_starts_on=billing.week_starts_on,
            phone_region=customer.phone_region,
            email=customer.email,
            locale=customer.locale,
            period=PeriodBody.of(billing.period(Reset.BILLING_PERIOD, now)),
            scheduled=scheduled
            and ScheduledAnswer(plan=scheduled.version[0], plan_version=scheduled.version[1], effective_at=scheduled.effective_at),
            addons={addon.version[0]: addon.quantity for addon in customer.agreement.addons},
        )


Near = Annotated[
    QueryInteger | None,
    Query(ge=1, le=1_000, description="so many percent of a limit, or more, are used; a page may be short"),
]


@router.get("")
async def list_customers(
    request: Request,
    who: ServiceReader,
    query: Annotated[Label | None, Query(description="in the id or the email, whatever the case")] = None,
    plan: Annotated[Key | None, Query(description="on this plan now")] = None,
    plan_version: Annotated[QueryInteger | None, Query(ge=1, le=_VERSION_MAX)] = None,
    near_percent: Near = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CustomerAnswer]:
    """All customers, newest first by when they were created."""
    container = container_of(request)
    asked = ListCustomersQuery(
        limit=limit, text=query, plan=plan, plan_version=plan_version, near_percent=near_percent, before=from_cursor(cursor, str)
    )
    listed = await container.list_customers().execute(asked)
    now = container.clock()()
    items = [CustomerAnswer.of(customer, now) for customer in listed.customers]
    return Page(items=items, next_cursor=to_cursor(*listed.ended) if listed.ended else None)


@router.put(
    "/{customer_id}",
    response_model=CustomerAnswer,
    responses={
        201: {"model": CustomerAnswer, "description": "The customer is new."},
        **refusals("plan_not_found", "customer_being_deleted", *_REFUSED),
    },
)
async def put_customer(request: Request, caller: CustomerAdmin, body: CustomerBody) -> Reply:
    """Create a customer, or change one: a key that is absent keeps what is stored, and null clears it.

    The customer is put on the plan's newest version, and stays on it until a plan is named again. A new customer's billing periods are
    counted from its creation unless an anchor is sent. Takes effect at once; what has been used stays.
    """
    container = container_of(request)
    command = PutCustomerCommand(customer_id=caller.customer_id, plan=body.plan, changes=body.changes(), changed_by=caller.name)
    customer, is_new = await container.put_customer().execute(command)
    return Reply.of(CustomerAnswer.of(customer, container.clock()()), 201 if is_new else 200)


@router.patch("/{customer_id}", responses=refusals("plan_not_found", "invalid_effective_at", *_REFUSED))
async def patch_customer(request: Request, caller: CustomerAdmin, body: CustomerPatch) -> CustomerAnswer:
    """Change a customer in part: at once, or its plan at an instant ahead or when the billing period ends."""
    container = container_of(request)
    if body.effective_at is not None:
        command = SchedulePlanCommand(
            customer_id=caller.customer_id, plan=body.plan, effective_at=body.effective_at, changed_by=caller.name
        )
        customer = await container.schedule_plan().execute(command)
    else:
        customer = await container.change_customer().execute(caller.customer_id, body.changes(), caller.name)
    return CustomerAnswer.of(customer, container.clock()())


@router.get("/{customer_id}")
async def get_customer(request: Request, caller: CustomerReader) -> CustomerAnswer:
    """A customer, with the billing period that contains now."""
    container = container_of(request)
    return CustomerAnswer.of(await container.customer_reader().get(caller.customer_id), container.clock()())


@router.delete("/{customer_id}", status_code=204)
async def delete_customer(request: Request, caller: CustomerAdmin) -> None:
    """Delete a customer: from now on there is no such customer, and everything that is kept of it goes in the background, files too.

    A customer of the same id can be created once all of it is gone; until then that is 409.
    """
    container = container_of(request)
    keeps_sums = container.settings().keep_deleted_sums
    await container.customer_deletions().begin(caller.customer_id, container.clock()(), caller.name, keeps_sums=keeps_sums)


@router.get("/{customer_id}/export", response_class=Response)
async def export_customer(
    request: Request,
    caller: CustomerAdmin,
    files: Annotated[bool, Query(description="whether uploaded files are in it, piece by piece, in base64")] = True,
) -> Response:
    """Everything that is kept of a customer, as NDJSON: a JSON object for each row of each table; `end` is the last one.

    Quantities are counts of smallest parts; the first line has the resolution of each feature that was declared.
    """
    lines = container_of(request).export_customer().lines(caller.customer_id, with_files=files)
    first = await anext(lines)  # an unknown customer is answered before anything is sent

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for line in lines:
            yield line

    return StreamingResponse(whole(), media_type="application/x-ndjson")
