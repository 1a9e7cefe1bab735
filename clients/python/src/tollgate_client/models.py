"""What the service answers, typed to the last field. Amounts are decimals, in the feature's unit; instants are UTC.

Fields that a newer service adds are left out, so that an older client goes on working.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Balance(Model):
    """Where a feature stands in the period that contains now. `limit`, `remaining` and `allowance` are None where it is unlimited.

    `limit` is what may be used in all: the allowance, and what grants add to it, of which they have `granted` left.
    """

    used: Decimal
    held: Decimal
    limit: Decimal | None
    remaining: Decimal | None
    allowance: Decimal | None = None
    granted: Decimal = Decimal(0)
    resets_at: datetime | None


class Record(Model):
    """A ledger entry, in short."""

    id: str
    feature: str
    quantity: Decimal
    occurred_at: datetime


class Consumed(Model):
    """What was booked, and where its features stand after it.

    `degraded`: the database or the service was out of reach, and the usage was admitted all the same; it is booked later.
    """

    records: list[Record]
    balances: dict[str, Balance]
    over_limit: bool
    degraded: bool = False


class Checked(Model):
    """Whether usage would be admitted; if not, why (an error code) and by which feature."""

    allowed: bool
    reason: str | None
    binding: str | None
    balances: dict[str, Balance]


class Period(Model):
    """Half-open: start <= t < end. None: open on that side."""

    start: datetime | None
    end: datetime | None


class Share(Model):
    """A part of a feature's usage, by dimension."""

    dimension: str | None
    used: Decimal


class MeteredStatus(Model):
    """A metered feature of a customer's plan."""

    type: Literal["metered"] = "metered"
    unit: str
    used: Decimal
    held: Decimal
    limit: Decimal | None
    remaining: Decimal | None
    allowance: Decimal | None = None
    granted: Decimal = Decimal(0)
    overage: Decimal
    percent: Decimal | None
    display: str
    resets_at: datetime | None
    breakdown: list[Share] | None = None


class StaticStatus(Model):
    """A number that a customer's plan grants."""

    type: Literal["static"] = "static"
    value: Decimal
    display: str


class BooleanStatus(Model):
    """A switch of a customer's plan."""

    type: Literal["boolean"] = "boolean"
    enabled: bool
    display: str


FeatureStatus = Annotated[MeteredStatus | StaticStatus | BooleanStatus, Field(discriminator="type")]


class Status(Model):
    """A customer's plan, and where each of its features stands."""

    customer_id: str
    plan: str
    plan_version: int
    period: Period
    features: dict[str, FeatureStatus]


class Bucket(Model):
    """What was used of a feature within `start <= t < end`; `overage` and `limit` are those of the billing period of then.

    `breakdown` is by dimension, where it was asked for.
    """

    feature: str
    unit: str
    start: datetime | None
    end: datetime | None
    used: Decimal
    overage: Decimal
    limit: Decimal | None
    breakdown: list[Share] | None = None


class History(Model):
    """Feature by feature, in the order of time."""

    items: list[Bucket]


class LimitSource(Model):
    """A part of what may be used in all; a `quantity` of None is unlimited.

    `id` is the key of the plan or the add-on, the id of the grant, or that of the override's entry in the plan history.
    """

    source: Literal["plan", "addon", "override", "grant", "rollover"]
    id: str | None
    quantity: Decimal | None


class LargeRecord(Model):
    """A ledger entry that moved a sum; `corrects` is the id of the one that it corrects."""

    id: str
    quantity: Decimal
    occurred_at: datetime
    recorded_at: datetime
    reference: str | None
    dimension: str | None
    corrects: str | None
    reason: str | None


class UsedInPeriod(Model):
    """What was used in a period: what all entries, and the corrections among them, add up to, how many there are, and the largest."""

    quantity: Decimal
    records: int
    corrections: int
    corrected: Decimal
    largest: list[LargeRecord]


class Holding(Model):
    """What one reservation sets aside, until when."""

    reservation_id: str
    quantity: Decimal
    expires_at: datetime
    reference: str | None


class Explanation(Model):
    """One feature of a decision. `held` are the largest of the `holds`; `period` is None where the plan does not meter it."""

    sentence: str
    period: Period | None
    limit: list[LimitSource]
    used: UsedInPeriod
    holds: int
    held: list[Holding]


class Explained(Model):
    """Whether usage is, or was, admitted; if not, why (an error code) and by which feature; and what that is made of."""

    allowed: bool
    reason: str | None
    binding: str | None
    features: dict[str, Explanation]


class LimitReached(Model):
    """When a limit is reached: as likely as not by `expected`, one in ten by `earliest`, nine in ten by `latest`, at most the reset."""

    expected: datetime
    earliest: datetime
    latest: datetime


class FeatureForecast(Model):
    """One feature, in its unit. Numbers are None where too little is known; `reason` says so.

    `low` to `high` is the band of 80 %. `limit_reached_at` is None where it is likelier not reached before the reset.
    """

    unit: str
    resets_at: datetime | None
    expected_at_reset: Decimal | None
    low: Decimal | None
    high: Decimal | None
    limit_reached_at: LimitReached | None
    chance_of_reaching: float | None
    pace: Literal["rising", "steady", "falling"] | None
    based_on_days: int
    method: str
    reason: Literal["too_little_history"] | None


class Forecast(Model):
    """By feature, of all that the plan meters."""

    features: dict[str, FeatureForecast]


class Entry(Model):
    """A ledger entry."""

    id: UUID
    feature: str
    quantity: Decimal
    occurred_at: datetime
    recorded_at: datetime
    source: str
    reference: str | None
    recorded_by: str | None
    overage: Decimal
    corrects: UUID | None
    reason: str | None
    event_id: str | None
    dimension: str | None


class Correction(Entry):
    """A correcting ledger entry, where the feature stands, and what flowed back to grants that have ended, and so lapsed."""

    balance: Balance
    lapsed: Decimal = Decimal(0)


class ReservedAmount(Model):
    """What is set aside, or was committed, of one feature."""

    feature: str
    quantity: Decimal


ReservationState = Literal["held", "committed", "released", "expired"]


class ListedReservation(Model):
    """A reservation in a list."""

    id: UUID
    state: ReservationState
    created_at: datetime
    expires_at: datetime
    finished_at: datetime | None
    reference: str | None
    late: bool
    usage: list[ReservedAmount]


class Reservation(ListedReservation):
    """A reservation, and where its features stand."""

    balances: dict[str, Balance]


class Scheduled(Model):
    """A change of plan that takes effect by itself."""

    plan: str
    plan_version: int
    effective_at: datetime


class Override(Model):
    """A limit of the customer's own, in place of its plan's; None is unlimited."""

    feature: str
    limit: Decimal | None
    enforcement: str | None
    until: datetime | None
    reason: str | None


class Addon(Model):
    """A plan that counts so many times on top of the customer's own."""

    plan: str
    plan_version: int
    quantity: int


class Terms(Model):
    """What is in force from `effective_at` on, and who put it so."""

    effective_at: datetime
    recorded_at: datetime
    changed_by: str
    reason: str | None
    plan: str
    plan_version: int
    billing_anchor: datetime | None
    billing_interval: str
    billing_interval_count: int
    time_zone: str
    week_starts_on: str
    overrides: list[Override]
    addons: list[Addon]


class Customer(Model):
    """A customer, its plan and its calendar. `addons`: how often each plan counts on top of its own."""

    customer_id: str
    plan: str
    plan_version: int
    billing_anchor: datetime | None
    billing_interval: str
    billing_interval_count: int
    time_zone: str
    week_starts_on: str
    phone_region: str | None
    email: str | None = None
    locale: str | None = None
    period: Period
    scheduled: Scheduled | None
    addons: dict[str, int]


class Refusal(Model):
    """What a customer's plan refused, or would have (`asked`). The facts that were told are further attributes, by their names."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: UUID
    at: datetime
    request_id: str
    operation: str
    kind: str
    feature: str | None
    error: str
    message: str


class Grant(Model):
    """Quantity on top of the allowance: `used`, `remaining`, and what expired, was voided or trimmed of it."""

    id: UUID
    feature: str
    kind: str
    quantity: Decimal
    used: Decimal
    remaining: Decimal
    state: str
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    reference: str | None
    reason: str | None
    created_at: datetime
    created_by: str | None
    voided_at: datetime | None
    voided_by: str | None
    void_reason: str | None


class Granted(Grant):
    """A grant after a change, and where its feature stands."""

    balance: Balance


class Threshold(Model):
    """A level of usage: `percent` of the limit, what was `used`, or what is `remaining` of the limit."""

    type: str
    value: Decimal


class Thresholds(Model):
    """A customer's own thresholds of a feature, in place of its plan's."""

    feature: str
    thresholds: list[Threshold]


class Alert(Model):
    """A threshold that was reached, once in a period; `used` and `limit` as they were then."""

    feature: str
    threshold: Threshold
    period: Period
    raised_at: datetime
    used: Decimal
    limit: Decimal | None
    event_id: UUID


class DescribedEvent(Model):
    """A type of event, and an example of what a receiver gets."""

    type: str
    description: str
    example: dict[str, Any]


class EventCatalogue(Model):
    """All types of events."""

    items: list[DescribedEvent]


class PortalSession(Model):
    """An address of a customer's usage page; whoever has it sees the page until it ends."""

    id: UUID
    url: str
    expires_at: datetime


class GrantEntry(Model):
    """What happened to a grant, and the usage record that brought it about."""

    id: UUID
    kind: str
    quantity: Decimal
    occurred_at: datetime
    period: Period
    record_id: UUID | None
    recorded_at: datetime


class DetailedGrant(Grant):
    """A grant with its newest entries; `next_cursor` leads to those before."""

    entries: list[GrantEntry]
    next_cursor: str | None


class Plan(Model):
    """A version of a plan. Entitlements are as they were sent: `{"type": "metered", "limit": 100, …}`."""

    key: str
    version: int
    name: str
    entitlements: dict[str, dict[str, Any]]


class Feature(Model):
    """A declared metered feature; `resolution` is how many smallest parts make one unit."""

    key: str
    unit: str
    resolution: int
    on_outage: str


class Rejected(Model):
    """An event that was not booked, and why."""

    index: int
    id: str | None
    error: str
    message: str


class Ingested(Model):
    """How many events were booked or known already, and which ones were rejected."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]
