"""What is sent, sent again, and given up; and what refusals become."""

import json
import time
from datetime import datetime, timezone
from decimal import Decimal

import httpx
import pytest
from tests_support.fake_service import FakeService, unavailable
from tollgate_client import Conflict, Denied, Invalid, LimitExceeded, NotFound, NotInPlan, ServiceFailed, TollgateError, Unavailable
from tollgate_client.errors import error_of


def test_a_decision_is_booked_and_typed(service: FakeService) -> None:
    with service.client() as client:
        found = client.consume("acme", api_calls=2, reference="job 7")
    assert service.used == {"api_calls": 2}
    assert found.balances["api_calls"].remaining == Decimal(98)
    assert found.records[0].occurred_at == datetime(2026, 11, 26, 10, tzinfo=timezone.utc)


def test_a_refusal_carries_its_facts(service: FakeService) -> None:
    with service.client() as client, pytest.raises(LimitExceeded) as refused:
        client.consume("acme", api_calls=101)
    error = refused.value
    assert (error.feature, error.plan, error.limit, error.remaining, error.requested, error.status) == (
        "api_calls",
        "p",
        100,
        100,
        101,
        403,
    )
    assert error.code == "usage_limit_exceeded"


def test_a_feature_that_is_not_in_the_plan_is_another_family(service: FakeService) -> None:
    with service.client() as client, pytest.raises(NotInPlan, match="no"):
        client.consume("acme", flights=1)


@pytest.mark.parametrize("failure", [unavailable(), httpx.ConnectError("down"), httpx.ReadError("cut"), httpx.Response(502, text="proxy")])
def test_what_may_pass_is_sent_again_with_the_same_key(service: FakeService, failure: httpx.Response | Exception) -> None:
    service.failures = [failure, failure]
    with service.client(batching=False) as client:
        client.consume("acme", api_calls=1)
    keys = {request.headers["idempotency-key"] for request in service.requests}
    assert (len(service.requests), len(keys)) == (3, 1)
    assert service.used == {"api_calls": 1}


@pytest.mark.parametrize("batching", [True, False])
def test_a_lost_answer_is_asked_for_again_and_nothing_is_booked_twice(service: FakeService, batching: bool) -> None:
    service.after = [httpx.ReadTimeout("lost"), httpx.RemoteProtocolError("cut")]
    with service.client(batching=batching) as client:
        client.consume("acme", api_calls=1)
    assert service.used == {"api_calls": 1}


def test_a_refusal_is_not_sent_again(service: FakeService) -> None:
    with service.client(batching=False) as client, pytest.raises(LimitExceeded):
        client.consume("acme", api_calls=101)
    assert len(service.requests) == 1


def test_retry_after_is_waited_for(service: FakeService) -> None:
    service.failures = [unavailable("0.3")]
    began = time.monotonic()
    with service.client() as client:
        client.consume("acme", api_calls=1)
    assert time.monotonic() - began >= 0.3


def test_the_deadline_is_the_whole_calls(service: FakeService) -> None:
    service.failures = [unavailable() for _ in range(1_000)]
    began = time.monotonic()
    with service.client(timeout=0.4) as client, pytest.raises(Unavailable) as failed:
        client.consume("acme", api_calls=1)
    assert time.monotonic() - began < 3
    assert not failed.value.outcome_unknown
    assert len(service.requests) > 2


def test_it_does_not_wait_longer_than_the_deadline(service: FakeService) -> None:
    service.failures = [unavailable("3600")]
    with service.client(timeout=1) as client, pytest.raises(Unavailable):
        client.consume("acme", api_calls=1)
    assert len(service.requests) == 1


def test_where_the_last_answer_was_lost_the_outcome_is_unknown(service: FakeService) -> None:
    service.after = [httpx.ReadTimeout("lost") for _ in range(1_000)]
    service.failures = []
    with service.client(timeout=0.2, batching=False) as client, pytest.raises(Unavailable) as failed:
        client.consume("acme", api_calls=1)
    assert failed.value.outcome_unknown


def test_amounts_are_what_was_meant(service: FakeService) -> None:
    service.limits["ai_cost"] = None
    with service.client(batching=False) as client:
        client.consume("acme", ai_cost="0.02")
        client.consume("acme", ai_cost=Decimal("0.000000001"))
        client.consume("acme", ai_cost=0.1 + 0.2)
        client.consume("acme", {"ai_cost": 3}, dimension="gpt")
    assert [body["usage"][0]["quantity"] for body in service.sent("/usage")] == [0.02, 1e-9, 0.1 + 0.2, 3]
    assert service.sent("/usage")[3]["usage"][0]["dimension"] == "gpt"
    assert json.dumps(service.sent("/usage")[3]["usage"][0]["quantity"]) == "3"


@pytest.mark.parametrize("quantity", ["NaN", float("inf"), "a lot"])
def test_what_is_no_number_is_not_sent(service: FakeService, quantity: object) -> None:
    with service.client() as client, pytest.raises((ValueError, ArithmeticError)):
        client.consume("acme", api_calls=quantity)  # type: ignore[arg-type]
    assert service.requests == []


def test_usage_of_nothing_is_not_sent(service: FakeService) -> None:
    with service.client() as client, pytest.raises(ValueError, match="at least one feature"):
        client.consume("acme")


def test_a_slash_belongs_to_the_id(service: FakeService) -> None:
    with service.client(batching=False) as client:
        client.consume("a/b c", api_calls=1)
    assert service.requests[0].url.raw_path == b"/api/v1/customers/a%2Fb%20c/usage"


def test_address_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from tollgate_client import Tollgate

    monkeypatch.delenv("TOLLGATE_URL", raising=False)
    with pytest.raises(ValueError, match="TOLLGATE_URL"):
        Tollgate(key="tg_x")
    monkeypatch.setenv("TOLLGATE_URL", "http://service/")
    monkeypatch.delenv("TOLLGATE_KEY", raising=False)
    with pytest.raises(ValueError, match="TOLLGATE_KEY"):
        Tollgate()
    monkeypatch.setenv("TOLLGATE_KEY", "tg_x")
    Tollgate().close()


@pytest.mark.parametrize(
    ("status", "code", "family"),
    [
        (400, "bad_request", Invalid),
        (401, "unauthenticated", Denied),
        (403, "forbidden", Denied),
        (403, "feature_not_in_plan", NotInPlan),
        (404, "customer_not_found", NotFound),
        (409, "reservation_not_held", Conflict),
        (413, "body_too_large", Invalid),
        (422, "invalid_quantity", Invalid),
        (422, "idempotency_key_reused", Conflict),
        (500, "internal_error", ServiceFailed),
        (503, "overloaded", Unavailable),
    ],
)
def test_every_error_has_its_family(status: int, code: str, family: type[TollgateError]) -> None:
    error = error_of(status, {"detail": {"error": code, "message": "so it is"}}, {"x-request-id": "r"})
    assert type(error) is family
    assert (error.status, error.code, error.message, error.request_id) == (status, code, "so it is", "r")


@pytest.mark.parametrize(
    ("status", "code"), [(402, "budget_exceeded"), (403, "session_limit_exceeded"), (429, "conversation_quota_exceeded")]
)
def test_a_limit_is_a_limit_whatever_it_is_called(status: int, code: str) -> None:
    facts = {"current_usage": 1, "limit": 1, "held": 0, "requested": 1, "remaining": 0, "resets_at": None}
    error = error_of(status, {"detail": {"error": code, "message": "", **facts}}, {"retry-after": "60"})
    assert isinstance(error, LimitExceeded)
    assert error.resets_at is None
    assert error.retry_after == 60


def test_mistakes_in_fastapis_form_are_one_line() -> None:
    error = error_of(422, {"detail": [{"type": "missing", "loc": ["body", "usage"], "msg": "Field required"}]}, {})
    assert error.message == "body.usage: Field required"


def test_an_answer_that_is_not_known_is_told(service: FakeService) -> None:
    service.failures = [httpx.Response(200, json={"other": 1})]
    with service.client(batching=False) as client, pytest.raises(ServiceFailed, match="does not know"):
        client.consume("acme", api_calls=1)
