"""/api/v1/customers/{customer_id}/reservations: set usage aside, then commit or release it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from api.dependencies import CustomerReader, CustomerWriter, container_of
from api.docs import refusals
from api.frame.commands import carried_out
from api.frame.route import FrameRoute
from api.paging import page
from api.replies import Reply
from api.v1.bodies import FEATURES_MAX, BalanceAnswer, FinishedAmountBody, amounts, balances
from api.wire import Answer, Cursor, ExactNumber, Key, Label, Limit, Number, Page, Wire, from_cursor, identified, number
from core.metering.balance import Amount, Balance
from core.metering.extend_reservation import ExtendReservationCommand
from core.metering.finish_reservation import CommitReservationCommand, ReleaseReservationCommand
from core.metering.reservations import TTL_DEFAULT, TTL_MAX, Reservation, ReservationKey, ReservationNotFound, ReservationState
from core.metering.reserve_usage import Reserved, ReserveUsageCommand
from core.plans.features import Feature

router = APIRouter(prefix="/api/v1/customers/{customer_id}/reservations", tags=["reservations"], route_class=FrameRoute)

TTL_SECONDS_DEFAULT = int(TTL_DEFAULT.total_seconds())
TTL_SECONDS_MAX = int(TTL_MAX.total_seconds())

ReservationId = Annotated[UUID, Path(description="the reservation's id"), identified(ReservationNotFound)]


class HeldAmountBody(Wire):
    """An amount of one feature, in its unit. What it was used for is said when it is committed."""

    feature: Annotated[Key, Field(examples=["ai_cost"])]
    quantity: Annotated[ExactNumber, Field(examples=[0.02])]


class ReservationBody(Wire):
    """Usage to set aside."""

    usage: Annotated[list[HeldAmountBody], Field(min_length=1, max_length=FEATURES_MAX)]
    ttl_seconds: Annotated[int, Field(ge=1, le=TTL_SECONDS_MAX, strict=True)] = TTL_SECONDS_DEFAULT
    reference: Annotated[Label | None, Field(description="your own reference, shown in the ledger when it is committed")] = None


class ExtensionBody(Wire):
    """How long the usage stays set aside, from now on."""

    ttl_seconds: Annotated[int, Field(ge=1, le=TTL_SECONDS_MAX, strict=True)]


class CommitBody(Wire):
    """What was really used; absent: what was held."""

    usage: Annotated[list[FinishedAmountBody] | None, Field(max_length=FEATURES_MAX)] = None


class ReservedAmount(Answer):
    """An amount of one feature, in its unit."""

    feature: str
    quantity: Number


class ListedReservation(Answer):
    """A reservation. `usage` is what was held, and once it is committed what was really used."""

    id: UUID
    state: ReservationState
    created_at: datetime
    expires_at: datetime
    finished_at: datetime | None
    reference: str | None
    late: Annotated[bool, Field(description="committed after it had expired")]
    usage: list[ReservedAmount]

    @classmethod
    def listed(cls, reservation: Reservation, features: Mapping[str, Feature], now: datetime) -> "ListedReservation":
        used = reservation.usage if reservation.actual is None else reservation.actual
        return ListedReservation(
            id=reservation.id,
            state=reservation.state_at(now),
            created_at=reservation.created_at,
            expires_at=reservation.expires_at,
            finished_at=reservation.finished_at,
            reference=reservation.reference,
            late=reservation.late,
            usage=[ReservedAmount(feature=key, quantity=number(parts, features[key])) for key, parts in used.items()],
        )


class ReservationAnswer(ListedReservation):
    """A reservation, and where its features stand."""

    balances: dict[str, BalanceAnswer]

    @classmethod
    def of(cls, reservation: Reservation, found: Mapping[str, Balance], now: datetime) -> "ReservationAnswer":
        features = {key: balance.feature for key, balance in found.items()}
        return cls(**dict(cls.listed(reservation, features, now)), balances=balances(found))


def _held(result: Reserved) -> Reply:
    answer = ReservationAnswer.of(result.reservation, result.balances, result.reservation.created_at)
    where = f"/api/v1/customers/{quote(result.reservation.customer_id, safe='')}/reservations/{result.reservation.id}"
    return Reply.of(answer, 201, location=where)


def _changed(result: Reserved) -> Reply:
    reservation = result.reservation
    return Reply.of(ReservationAnswer.of(reservation, result.balances, reservation.finished_at or reservation.created_at))


@router.post(
    "",
    status_code=201,
    response_model=ReservationAnswer,
    responses=refusals(
        "usage_limit_exceeded",
        "budget_exceeded",
        "conversation_quota_exceeded",
        "feature_not_in_plan",
        "invalid_quantity",
        "feature_not_metered",
    ),
)
@carried_out(by=lambda container: container.reserve_usage(), answered=_held)
def reserve_usage(body: ReservationBody, caller: CustomerWriter) -> ReserveUsageCommand:
    """Hold usage of one or several features, all or none.

    What is held counts against the limit until it is committed, released or expires.
    """
    return ReserveUsageCommand(
        customer_id=caller.customer_id,
        amounts=[Amount(item.feature, item.quantity) for item in body.usage],
        ttl=timedelta(seconds=body.ttl_seconds),
        reference=body.reference,
    )


@router.get("")
async def list_reservations(
    request: Request,
    caller: CustomerReader,
    state: Annotated[ReservationState | None, Query(description="only those that are in this state by now")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ListedReservation]:
    """The customer's reservations, newest first; those of its operations and practice sessions are among them."""
    container = container_of(request)
    reader, now, before = container.reservation_reader(), container.clock()(), from_cursor(cursor)
    if state is None:
        found = await reader.newest(caller.customer_id, limit + 1, before)
    else:
        found = await reader.newest_in(caller.customer_id, limit + 1, before, state=state, at=now)
    features = {feature.key: feature for feature in await container.plan_reader().features()}
    return page(found, limit, reader.position).each(lambda reservation: ListedReservation.listed(reservation, features, now))


@router.get("/{id}", responses=refusals("reservation_not_found"))
async def get_reservation(request: Request, id: ReservationId, caller: CustomerReader) -> ReservationAnswer:
    """A reservation in its present state, and where its features stand."""
    container = container_of(request)
    now = container.clock()()
    reservation = await container.reservation_reader().get(ReservationKey(caller.customer_id, id))
    features = {*reservation.usage, *(reservation.actual or {})}
    account = await container.account_reader().read(caller.customer_id, features, now)
    return ReservationAnswer.of(reservation, account.balances(features), now)


@router.post(
    "/{id}/commit",
    response_model=ReservationAnswer,
    responses=refusals("reservation_not_found", "reservation_not_held", "invalid_quantity", "feature_not_in_plan"),
)
@carried_out(by=lambda container: container.commit_reservation(), answered=_changed)
def commit_reservation(id: ReservationId, caller: CustomerWriter, body: CommitBody | None = None) -> CommitReservationCommand:
    """Book what was really used. Always booked: above the hold, above the limit, and late."""
    actual = None if body is None or body.usage is None else amounts(body.usage)
    return CommitReservationCommand(customer_id=caller.customer_id, reservation_id=id, recorded_by=caller.name, amounts=actual)


@router.post(
    "/{id}/release",
    response_model=ReservationAnswer,
    responses=refusals("reservation_not_found", "reservation_not_held"),
)
@carried_out(by=lambda container: container.release_reservation(), answered=_changed)
def release_reservation(id: ReservationId, caller: CustomerWriter) -> ReleaseReservationCommand:
    """Give back what is held. Releasing again changes nothing."""
    return ReleaseReservationCommand(caller.customer_id, id)


@router.post(
    "/{id}/extend",
    response_model=ReservationAnswer,
    responses=refusals("reservation_not_found", "reservation_not_held"),
)
@carried_out(by=lambda container: container.extend_reservation(), answered=_changed)
def extend_reservation(id: ReservationId, body: ExtensionBody, caller: CustomerWriter) -> ExtendReservationCommand:
    """Let the hold end so many seconds from now. Refused where it has ended already: committed, released or expired."""
    return ExtendReservationCommand(caller.customer_id, id, timedelta(seconds=body.ttl_seconds))
