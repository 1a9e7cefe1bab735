"""The one table that says how a caller is told what the domain raised."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.served import note_refusal, request_id
from api.wire import decimal_number, instant, money
from core.access.ports import IdentityProviderUnavailable
from core.access.principal import Forbidden, Unauthenticated
from core.access.service_keys import InvalidExpiry, InvalidKeyName, KeyNotShownAgain, ServiceKeyNotFound
from core.conversations.conversation import ConversationNotFound
from core.conversations.message import InvalidPhoneNumber, InvalidSentAt, MessageConflict
from core.customers.deletion import CustomerBeingDeleted
from core.customers.override_limit import InvalidUntil
from core.customers.own_alerts import InvalidThreshold
from core.customers.phone_region import InvalidPhoneRegion
from core.customers.put_addon import TooManyAddons
from core.customers.put_customer import InvalidBillingAnchor, InvalidTimeZone
from core.customers.schedule_plan import InvalidEffectiveAt
from core.errors import BrokenCommand, ConcurrentUpdate, DomainError, Overloaded, SchemaNewer, StorageUnavailable
from core.history.buckets import InvalidSpan
from core.learning.assessment import AssessmentConflict
from core.learning.learning_plan import LearningPlanNotFound
from core.learning.practice_session import PracticeSessionConflict, PracticeSessionNotFound, PracticeSessionSaved
from core.metering.account import CustomerNotFound, NotYetACustomer
from core.metering.balance import Balance, FeatureNotInPlan, FeatureNotMetered, LimitExceeded, held_until
from core.metering.check_usage import GrantExceeded
from core.metering.event_types import InvalidEvent
from core.metering.grants import GrantEnded, GrantNotFound, GrantReferenceTaken, InvalidGrant
from core.metering.idempotency import IdempotencyKeyReused
from core.metering.ledger import InvalidOccurredAt, RecordNotFound
from core.metering.owned import OwnedNotFound
from core.metering.reservations import ReservationNotFound, ReservationNotHeld
from core.operations.operation import InvalidOperationState, OperationConflict, OperationNotFound
from core.operations.step import StepConflict
from core.plans.features import InvalidQuantity
from core.plans.plan import FeatureConflict, InvalidPlan, PlanNotFound, PlanVersionConflict
from core.plans.publish_plan import FeatureInUse, InvalidFeature
from core.portal.portal_session import PortalSessionEnded, PortalSessionNotFound, PortalSessionNotShownAgain
from core.sessions.session import InvalidSessionState, SessionNotFound, UploadMissing
from core.sessions.uploads import (
    FileSizeExceeded,
    InvalidUploadUrl,
    UnsupportedMediaType,
    UploadInProgress,
    UploadInterrupted,
    UploadUrlExpired,
)


@dataclass(frozen=True, slots=True)
class Told:
    """A status, a code, and headers; `retry_after_seconds` where trying again may help."""

    status: int
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)


TABLE: Final[Mapping[type[DomainError], Told]] = {
    Unauthenticated: Told(401, "unauthenticated", {"WWW-Authenticate": "Bearer"}),
    Forbidden: Told(403, "forbidden"),
    FeatureNotInPlan: Told(403, "feature_not_in_plan"),
    LimitExceeded: Told(403, "usage_limit_exceeded"),
    GrantExceeded: Told(403, "usage_limit_exceeded"),
    InvalidUploadUrl: Told(403, "invalid_upload_url"),
    ConversationNotFound: Told(404, "conversation_not_found"),
    CustomerBeingDeleted: Told(409, "customer_being_deleted", {"Retry-After": "5"}),
    CustomerNotFound: Told(404, "customer_not_found"),
    GrantNotFound: Told(404, "grant_not_found"),
    GrantEnded: Told(409, "grant_not_active"),
    GrantReferenceTaken: Told(409, "grant_reference_taken"),
    InvalidGrant: Told(422, "invalid_grant"),
    KeyNotShownAgain: Told(409, "key_not_shown_again"),
    LearningPlanNotFound: Told(404, "learning_plan_not_found"),
    OwnedNotFound: Told(404, "{kind}_not_found"),
    PlanNotFound: Told(404, "plan_not_found"),
    PortalSessionNotFound: Told(404, "portal_session_not_found"),
    PortalSessionNotShownAgain: Told(409, "portal_session_not_shown_again"),
    PortalSessionEnded: Told(410, "portal_session_ended"),
    PracticeSessionNotFound: Told(404, "practice_session_not_found"),
    RecordNotFound: Told(404, "record_not_found"),
    ReservationNotFound: Told(404, "reservation_not_found"),
    OperationNotFound: Told(404, "operation_not_found"),
    ServiceKeyNotFound: Told(404, "service_key_not_found"),
    SessionNotFound: Told(404, "session_not_found"),
    AssessmentConflict: Told(409, "assessment_conflict"),
    FeatureConflict: Told(409, "feature_conflict"),
    FeatureInUse: Told(409, "feature_conflict"),
    InvalidOperationState: Told(409, "invalid_operation_state"),
    InvalidSessionState: Told(409, "invalid_session_state"),
    MessageConflict: Told(409, "message_conflict"),
    OperationConflict: Told(409, "operation_conflict"),
    PlanVersionConflict: Told(409, "plan_version_conflict"),
    PracticeSessionConflict: Told(409, "practice_session_conflict"),
    PracticeSessionSaved: Told(409, "practice_session_conflict"),
    ReservationNotHeld: Told(409, "reservation_not_held"),
    StepConflict: Told(409, "step_conflict"),
    TooManyAddons: Told(409, "too_many_addons"),
    UploadInProgress: Told(409, "upload_in_progress", {"Retry-After": "5"}),
    UploadMissing: Told(409, "upload_missing"),
    UploadUrlExpired: Told(410, "upload_url_expired"),
    FileSizeExceeded: Told(413, "file_size_exceeded"),
    UnsupportedMediaType: Told(415, "unsupported_media_type"),
    FeatureNotMetered: Told(422, "feature_not_metered"),
    IdempotencyKeyReused: Told(422, "idempotency_key_reused"),
    InvalidBillingAnchor: Told(422, "invalid_billing_anchor"),
    InvalidEffectiveAt: Told(422, "invalid_effective_at"),
    InvalidEvent: Told(422, "invalid_event"),
    InvalidFeature: Told(422, "invalid_feature"),
    InvalidExpiry: Told(422, "invalid_expiry"),
    InvalidKeyName: Told(422, "invalid_key_name"),
    InvalidOccurredAt: Told(422, "invalid_occurred_at"),
    InvalidPhoneNumber: Told(422, "invalid_phone_number"),
    InvalidPhoneRegion: Told(422, "invalid_phone_region"),
    InvalidPlan: Told(422, "invalid_plan"),
    InvalidQuantity: Told(422, "invalid_quantity"),
    InvalidSentAt: Told(422, "invalid_sent_at"),
    InvalidSpan: Told(422, "invalid_span"),
    InvalidTimeZone: Told(422, "invalid_time_zone"),
    NotYetACustomer: Told(422, "not_yet_a_customer"),
    InvalidUntil: Told(422, "invalid_until"),
    InvalidThreshold: Told(422, "invalid_threshold"),
    UploadInterrupted: Told(400, "upload_interrupted"),
    BrokenCommand: Told(500, "internal_error"),
    IdentityProviderUnavailable: Told(503, "identity_provider_unavailable", {"Retry-After": "5"}),
    Overloaded: Told(503, "overloaded", {"Retry-After": "1"}),
    SchemaNewer: Told(503, "schema_newer", {"Retry-After": "60"}),
    StorageUnavailable: Told(503, "storage_unavailable", {"Retry-After": "2"}),
}
"""Every error that the domain can raise. A test walks them all."""


@dataclass(frozen=True, slots=True)
class LimitTold:
    """How a caller is told that one feature's limit binds: `message` and the limit, and what is set aside of it beside what is used."""

    status: int
    code: str
    message: str
    shown: Callable[[Decimal], str] = "{:f}".format
    used: str = "used"
    retry_after: bool = False

    def sentence(self, balance: Balance, at: datetime) -> str:
        limit, used, held = (self.shown(balance.feature.units(parts)) for parts in (balance.limit or 0, balance.used, balance.held))
        return f"{self.message}: {limit}" + (f" ({self.used} {used}, set aside {held}{held_until(balance, at)})" if balance.held else "")


LIMITS: Final[Mapping[str, LimitTold]] = {
    "sessions": LimitTold(403, "session_limit_exceeded", "Session limit exceeded"),
    "minutes": LimitTold(403, "transcription_limit_exceeded", "Total minutes limit exceeded"),
    "practice_sessions": LimitTold(403, "practice_session_limit_exceeded", "Practice session limit exceeded"),
    "assessments": LimitTold(403, "assessment_limit_exceeded", "Assessment limit exceeded"),
    "ai_runs": LimitTold(403, "run_limit_exceeded", "Run limit exceeded"),
    "ai_cost": LimitTold(402, "budget_exceeded", "Budget exceeded", shown=money, used="spent"),
    "conversations": LimitTold(429, "conversation_quota_exceeded", "Conversation quota exceeded", retry_after=True),
}
"""By feature; every other metered feature is told as LimitExceeded in the table above."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A domain error as a caller gets it."""

    status: int
    detail: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def body(self) -> dict[str, Any]:
        return {"detail": self.detail}


AMOUNTS_BY_SERVICES: Final = (
    "A user token cannot report amounts: customers do not write their own bills. Use a service key with the scope 'write', "
    "and name the customer in the header Tollgate-Customer."
)

NO_CREDENTIALS: Final = "Authenticate with a user token or a service key, as 'Authorization: Bearer …'."


def message_of(error: DomainError) -> str:
    """The domain's own words; where a route or a header has to be named, which the domain does not know, a sentence from here."""
    match error:
        case StorageUnavailable(outcome_unknown=True):
            return "The storage went away during the commit: repeat the request with the same Idempotency-Key."
        case IdempotencyKeyReused():
            return f"Idempotency-Key {error.key!r} was used before with different input: use a new key for a new request."
        case FeatureNotInPlan(declared=False, feature=feature):
            where = f"under 'features:' in the plan file, or by PUT /api/v1/features/{feature}"
            return f"{feature!r} is not a declared feature: declare it {where}."
        case FeatureNotMetered():
            return f"{error.feature!r} is not metered in plan {error.plan!r}: ask by POST …/usage/check whether it is granted."
        case InvalidPlan(undeclared=str() as feature):
            return f"{error.message}, or by PUT /api/v1/features/{feature}"
        case InvalidUploadUrl():
            how = "ask for one by POST …/sessions/{id}/upload-url and send the headers that it names"
            return f"This upload URL is not valid for this upload: {how}."
        case _:
            return error.message


def told(error: DomainError) -> Refusal:
    """Looks the error up in the tables. An error that is in none is a mistake in this file: KeyError."""
    entry = TABLE[type(error)]
    status, code, headers, message = entry.status, code_of(error), dict(entry.headers), message_of(error)
    if isinstance(error, LimitExceeded) and (limit := LIMITS.get(error.feature)):
        status, message = limit.status, limit.sentence(error.balance, error.at)
        if limit.retry_after and (resets_at := error.balance.period.resets_at):
            headers["Retry-After"] = str(max(1, math.ceil((resets_at - error.at).total_seconds())))
    facts = {name: _wire(fact) for name, fact in error.facts().items()}
    return Refusal(status, {"error": code, "message": message, **facts}, headers)


def detail_of(error: DomainError) -> Mapping[str, Any]:
    """What a caller is told: the code, the message, the facts."""
    return told(error).detail


def code_of(error: DomainError) -> str:
    """The error's code alone."""
    if isinstance(error, LimitExceeded) and (limit := LIMITS.get(error.feature)):
        return limit.code
    code = TABLE[type(error)].code
    return code.format(kind=error.kind) if isinstance(error, OwnedNotFound) else code


def _wire(fact: object) -> object:
    match fact:
        case Decimal():
            return decimal_number(fact)
        case datetime():
            return instant(fact)
        case _:
            return fact


_MESSAGES: Final = {
    "model_attributes_type": "A JSON object is expected, sent with Content-Type: application/json",
    "union_tag_not_found": "A field 'type' is expected: metered, static or boolean",
}
"""Where the validator's own words speak of its own classes."""

_KINDS: Final = {"model_type": "model_attributes_type"}
"""One kind that the validator calls differently when it reads JSON by itself."""

HTTP_CODES: Final = {
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}


INTERNAL_ERROR: Final = {"error": "internal_error", "message": "Something went wrong on our side, and it has been logged."}

MISTAKES_MAX: Final = 20
"""So many mistakes of a request are told at most: nobody reads more, and a body may have hundreds of thousands."""
_COUNTED_MAX: Final = 1_000
"""Of so many the first are told. Where there are more, it is told that there are: all are built before the first can be seen."""


def first_mistakes(error: ValidationError, counted_max: int = _COUNTED_MAX) -> list[Any]:
    """Of a body that does not fit its model, without what was sent."""
    count = error.error_count()
    if count > counted_max:
        return [{"type": "too_many_mistakes", "loc": (), "msg": f"There are {count:,} mistakes, too many to be listed"}]
    return error.errors(include_url=False, include_context=False, include_input=False)[:MISTAKES_MAX]


def mistakes(errors: Iterable[Any]) -> Any:
    """Structural mistakes in FastAPI's form, but only what is wrong and where: the input may be large, secret, or no JSON at all."""
    found = [(_KINDS.get(item["type"], item["type"]), item["loc"], item["msg"]) for item in islice(errors, MISTAKES_MAX)]
    return jsonable_encoder([{"type": kind, "loc": where, "msg": _MESSAGES.get(kind, message)} for kind, where, message in found])


def is_expected(error: Exception) -> bool:
    """Whether it is part of answering requests; anything else is a mistake on our side, to be raised again once it is answered."""
    return isinstance(error, DomainError | ConcurrentUpdate | RequestValidationError | HTTPException)


def answer_to(error: Exception) -> tuple[int, Any, Mapping[str, str]]:
    """Status, JSON body and headers, whatever was raised."""
    match error:
        case DomainError():
            refusal = told(error)
            return refusal.status, refusal.body, refusal.headers
        case ConcurrentUpdate():
            return answer_to(Overloaded())
        case RequestValidationError():
            return 422, {"detail": mistakes(error.errors())}, {}
        case HTTPException():
            code = HTTP_CODES.get(error.status_code, "bad_request")
            return error.status_code, {"detail": {"error": code, "message": error.detail}}, error.headers or {}
        case _:
            id = request_id()
            return 500, {"detail": {**INTERNAL_ERROR, **({"request_id": id} if id else {})}}, {"Connection": "close"}


def install(app: FastAPI) -> None:
    """Makes the tables the app's only way to answer an error, also where FastAPI answers."""

    async def refuse(request: Request, error: Exception) -> Response:
        status, content, headers = answer_to(error)
        note_refusal(content)
        return JSONResponse(content, status, headers)

    for kind in (DomainError, ConcurrentUpdate, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, refuse)
