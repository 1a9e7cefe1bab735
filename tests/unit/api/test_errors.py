"""A refusal that comes out as 500 is what this table is there to make impossible."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from fastapi import FastAPI

import core
from api import errors
from api.docs import refusals
from api.errors import LIMITS, NO_CREDENTIALS, TABLE, told
from core.access.principal import Unauthenticated
from core.conversations.features import CONVERSATIONS
from core.errors import DomainError, NotFoundError, StorageUnavailable
from core.metering.balance import Balance, FeatureNotInPlan, FeatureNotMetered, LimitExceeded
from core.metering.idempotency import IdempotencyKeyReused
from core.metering.owned import OwnedNotFound
from core.operations.features import AI_COST
from core.plans.drafts import MeteredDraft, PlanDraft
from core.plans.features import Feature, FeatureCatalog
from core.plans.periods import ALWAYS, Period
from core.plans.plan import InvalidPlan
from core.products import BUILT_IN
from core.sessions.features import MINUTES, SESSIONS
from core.sessions.uploads import InvalidUploadUrl

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


def all_errors(root: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    for module in pkgutil.walk_packages(core.__path__, "core."):
        importlib.import_module(module.name)
    for error in root.__subclasses__():
        if error.__module__.startswith("core."):
            yield error
            yield from all_errors(error)


@pytest.mark.parametrize("error", sorted({*all_errors()} - {NotFoundError}, key=lambda error: error.__name__), ids=lambda e: e.__name__)
def test_every_error_that_the_domain_can_raise_has_a_status_of_its_own(error: type[DomainError]) -> None:
    assert error in TABLE
    assert error.__doc__


def test_the_table_knows_no_error_that_the_domain_does_not() -> None:
    assert set(TABLE) <= set(all_errors())


def test_every_built_in_metered_feature_has_a_refusal_of_its_own() -> None:
    assert set(LIMITS) == {feature.key for feature in BUILT_IN}


def exceeded(feature: Feature, limit: int, used: int, requested: int, period: Period = NOVEMBER, held: int = 0) -> LimitExceeded:
    return LimitExceeded("free", Balance(feature, limit, True, period, used, held), requested, NOW)


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (exceeded(SESSIONS, 10, 10, 1), 403, "session_limit_exceeded", "Session limit exceeded: 10"),
        (exceeded(MINUTES, 500 * 60, 500 * 60, 0), 403, "transcription_limit_exceeded", "Total minutes limit exceeded: 500"),
        (exceeded(AI_COST, 500_000_000, 0, 1), 402, "budget_exceeded", "Budget exceeded: $0.50"),
        (exceeded(CONVERSATIONS, 3, 3, 1), 429, "conversation_quota_exceeded", "Conversation quota exceeded: 3"),
        (exceeded(Feature("calls", "call"), 3, 3, 1), 403, "usage_limit_exceeded", "Usage limit exceeded: 3 calls."),
        (exceeded(Feature("api_calls", "call"), 1, 1, 1), 403, "usage_limit_exceeded", "Usage limit exceeded: 1 call (api_calls)."),
        (exceeded(Feature("spend", "USD", 100), 250, 0, 1), 403, "usage_limit_exceeded", "Usage limit exceeded: 2.5 USD (spend)."),
    ],
)
def test_a_limit_is_told_by_its_feature(error: LimitExceeded, status: int, code: str, message: str) -> None:
    refusal = told(error)
    assert (refusal.status, refusal.detail["error"], refusal.detail["message"]) == (status, code, message)


NANO = 10**9


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (exceeded(SESSIONS, 10, 4, 1, held=6), "Session limit exceeded: 10 (used 4, set aside 6)"),
        (exceeded(MINUTES, 500 * 60, 30, 0, held=30_000), "Total minutes limit exceeded: 500 (used 0.5, set aside 500)"),
        (exceeded(AI_COST, 3 * NANO, 0, 1, held=3 * NANO), "Budget exceeded: $3.00 (spent $0.00, set aside $3.00)"),
        (exceeded(AI_COST, 3 * NANO, 2_999_999_999, 1, held=1), "Budget exceeded: $3.00 (spent $2.99, set aside $0.00)"),
        (exceeded(Feature("calls", "call"), 3, 1, 1, held=2), "Usage limit exceeded: 3 calls (used 1, set aside 2)."),
        (exceeded(Feature("api_calls", "call"), 3, 1, 1, held=2), "Usage limit exceeded: 3 calls (api_calls; used 1, set aside 2)."),
    ],
)
def test_what_is_held_is_told_beside_what_is_used(error: LimitExceeded, message: str) -> None:
    assert told(error).detail["message"] == message


def holding(feature: Feature, until: datetime, at: datetime = NOW) -> LimitExceeded:
    error = exceeded(feature, 10, 4, 1, held=6)
    return LimitExceeded(error.plan, error.balance._replace(held_until=until), 1, at)


@pytest.mark.parametrize(
    ("feature", "after", "message"),
    [
        (SESSIONS, timedelta(minutes=5), "Session limit exceeded: 10 (used 4, set aside 6 until 12:05 UTC)"),
        (SESSIONS, timedelta(hours=12), "Session limit exceeded: 10 (used 4, set aside 6 until 2026-11-22 00:00 UTC)"),
        (Feature("calls", "call"), timedelta(minutes=5), "Usage limit exceeded: 10 calls (used 4, set aside 6 until 12:05 UTC)."),
    ],
)
def test_until_when_something_is_held_is_told_by_the_clock(feature: Feature, after: timedelta, message: str) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert told(holding(feature, noon + after, noon)).detail["message"] == message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Unauthenticated(NO_CREDENTIALS), "Authenticate with a user token or a service key, as 'Authorization: Bearer …'."),
        (
            StorageUnavailable(outcome_unknown=True),
            "The storage went away during the commit: repeat the request with the same Idempotency-Key.",
        ),
        (StorageUnavailable(), "The storage is not available. Nothing was booked; try again shortly."),
        (IdempotencyKeyReused("k"), "Idempotency-Key 'k' was used before with different input: use a new key for a new request."),
        (
            FeatureNotInPlan("pro", "seats", declared=False),
            "'seats' is not a declared feature: declare it under 'features:' in the plan file, or by PUT /api/v1/features/seats.",
        ),
        (FeatureNotInPlan("pro", "sessions"), "Plan 'pro' does not include 'sessions'."),
        (
            FeatureNotMetered("pro", "exports"),
            "'exports' is not metered in plan 'pro': ask by POST …/usage/check whether it is granted.",
        ),
        (
            InvalidUploadUrl(),
            "This upload URL is not valid for this upload: "
            "ask for one by POST …/sessions/{id}/upload-url and send the headers that it names.",
        ),
        (InvalidPlan("name", "expected a name"), "name: expected a name"),
    ],
)
def test_where_a_route_or_a_header_has_to_be_named_the_message_names_it(error: DomainError, message: str) -> None:
    assert told(error).detail["message"] == message


def test_what_is_kept_just_as_it_is_is_told_as_missing_by_its_own_name() -> None:
    refusal = told(OwnedNotFound("report_export", "7"))
    assert refusal.detail == {"error": "report_export_not_found", "message": "No report export '7'."}
    assert (refusal.status, errors.code_of(OwnedNotFound("note", "7"))) == (404, "note_not_found")


def test_an_operation_can_say_that_it_answers_so_and_no_other_code_that_there_is_not() -> None:
    assert list(refusals("report_export_not_found", "session_not_found", "usage_limit_exceeded")) == [403, 404]
    with pytest.raises(KeyError):
        refusals("report_export_lost")


def test_a_plan_with_an_undeclared_feature_is_told_where_to_declare_it() -> None:
    with pytest.raises(InvalidPlan) as refused:
        PlanDraft("pro", "Pro", {"tokens": MeteredDraft(None)}).resolve(FeatureCatalog(BUILT_IN))
    how = "declare it under 'features:' in the plan file, or by PUT /api/v1/features/tokens"
    assert told(refused.value).detail["message"] == f"entitlements.tokens: expected a declared metered feature: {how}"


def test_a_refusal_carries_the_facts_in_the_features_unit() -> None:
    refusal = told(exceeded(MINUTES, 500 * 60, 480 * 60 + 30, 1830))
    assert {name: refusal.detail[name] for name in ("current_usage", "held", "requested", "limit", "remaining", "resets_at")} == {
        "current_usage": 480.5,
        "held": 0,
        "requested": 30.5,
        "limit": 500,
        "remaining": 19.5,
        "resets_at": "2026-12-01T00:00:00Z",
    }


def test_a_quota_says_in_how_many_seconds_it_begins_anew_and_one_that_never_does_says_nothing() -> None:
    assert told(exceeded(CONVERSATIONS, 3, 3, 1)).headers["Retry-After"] == str(int((NOVEMBER.end - NOW).total_seconds()))
    never = told(exceeded(CONVERSATIONS, 3, 3, 1, ALWAYS))
    assert ("Retry-After" in never.headers, never.detail["resets_at"]) == (False, None)


@pytest.mark.parametrize(("unknown", "outcome"), [(False, None), (True, "unknown")])
async def test_an_outage_says_when_to_come_back_and_whether_it_is_known_what_was_booked(unknown: bool, outcome: str | None) -> None:
    app = FastAPI()
    errors.install(app)

    @app.get("/")
    def fails() -> None:
        raise StorageUnavailable(outcome_unknown=unknown)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()["detail"].get("outcome")) == (503, "2", outcome)


def test_facts_that_are_exact_numbers_stay_exact() -> None:
    assert errors.decimal_number(Decimal("0.001608")) == 0.001608
