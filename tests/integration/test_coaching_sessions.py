"""A coaching session from creation to completion, held to a plan, over HTTP."""

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from tests.integration.coaching import AUDIO, NEW_SESSION, Customer, at_once, days_ago
from tests.integration.service import Service, refused

MINUTE = 60


@pytest.fixture
def customer(service: Service) -> Customer:
    return Customer.new(service)


def test_a_created_session_is_told_and_found_where_its_location_says(customer: Customer) -> None:
    response = customer.create(title="Monday", language="de-AT", stt_provider="whisper")
    assert response.status_code == 201
    session = response.json()
    assert response.headers["Location"] == f"/api/v1/sessions/{session['id']}"
    told = {name: session[name] for name in ("title", "language", "stt_provider", "status", "duration_seconds")}
    assert told == {"title": "Monday", "language": "de-AT", "stt_provider": "whisper", "status": "uploading", "duration_seconds": None}
    assert UUID(session["id"]).version == 7
    assert session["created_at"].endswith("Z")
    assert abs(datetime.fromisoformat(session["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)  # noqa: TID251
    assert customer.client.get(response.headers["Location"]).json() == session


def test_a_session_goes_from_creation_to_completion_and_books_its_minutes_to_the_second(customer: Customer) -> None:
    id = customer.created()
    customer.upload(id)
    assert customer.confirm(id).json()["status"] == "pending"
    response = customer.complete(id, 1830)
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["duration_seconds"]) == ("completed", 1830)
    assert (customer.used("sessions"), customer.used("minutes")) == (1, 1830)


def test_500_of_500_minutes_used_last_period_do_not_keep_a_session_from_being_created_today(customer: Customer) -> None:
    customer.has_used("minutes", 500 * MINUTE, days_ago(5))
    customer.has_used("sessions", 100, days_ago(5))
    customer.created()
    assert (customer.used("sessions"), customer.used("minutes")) == (1, 0)


def test_a_counter_left_over_from_last_period_starts_anew(customer: Customer) -> None:
    for feature, used in (("minutes", 500 * MINUTE), ("sessions", 100)):
        customer.has_used(feature, used, days_ago(5))
        customer.service.database.rows(
            "INSERT INTO usage_counter (customer_id, feature, used, period_start, period_end) VALUES ($1, $2, $3, $4, $5)",
            *(customer.id, feature, used, days_ago(33), days_ago(3.001)),
        )
    customer.created()
    assert (customer.used("sessions"), customer.used("minutes")) == (1, 0)


def test_usage_at_the_periods_first_instant_counts_and_a_microsecond_earlier_does_not(service: Service) -> None:
    anchor = days_ago(3)
    before, at = (Customer.new(service, billing_anchor=anchor.isoformat()) for _ in range(2))
    before.has_used("minutes", 500 * MINUTE, anchor - timedelta(microseconds=1))
    at.has_used("minutes", 500 * MINUTE, anchor)
    before.created()
    refused(at.create(), 403, "transcription_limit_exceeded")


def test_a_customer_without_an_anchor_is_measured_over_everything(service: Service) -> None:
    customer = Customer.new(service, billing_anchor=None)
    customer.has_used("minutes", 500 * MINUTE, days_ago(1000))
    assert refused(customer.create(), 403, "transcription_limit_exceeded") == {
        "error": "transcription_limit_exceeded",
        "message": "Total minutes limit exceeded: 500",
        "plan": "pro",
        "feature": "minutes",
        "current_usage": 500,
        "held": 0,
        "requested": 0,
        "limit": 500,
        "remaining": 0,
        "allowance": 500,
        "granted": 0,
        "resets_at": None,
    }


def test_the_refusal_of_one_session_too_many_has_all_the_facts(service: Service) -> None:
    customer = Customer.new(service, "free", billing_anchor="2026-01-31T12:00:00Z")
    period = service.admin.get(f"/api/v1/customers/{customer.id}").json()["period"]
    for _ in range(10):
        customer.created()
    assert refused(customer.create(), 403, "session_limit_exceeded") == {
        "error": "session_limit_exceeded",
        "message": "Session limit exceeded: 10",
        "plan": "free",
        "feature": "sessions",
        "current_usage": 10,
        "held": 0,
        "requested": 1,
        "limit": 10,
        "remaining": 0,
        "allowance": 10,
        "granted": 0,
        "resets_at": period["end"],
    }
    assert customer.used("sessions") == 10


def test_a_refused_creation_leaves_nothing_behind(service: Service) -> None:
    customer = Customer.new(service)
    customer.has_used("minutes", 500 * MINUTE, days_ago(1))
    refused(customer.create(), 403, "transcription_limit_exceeded")
    assert customer.client.get("/api/v1/sessions").json()["items"] == []
    assert customer.used("sessions") == 0


def test_a_plan_without_coaching_says_that_it_lacks_the_feature(service: Service) -> None:
    customer = Customer.new(service, "starter")
    detail = refused(customer.create(), 403, "feature_not_in_plan")
    assert (detail["plan"], detail["feature"]) == ("starter", "sessions")


def test_a_file_over_the_plans_size_is_refused_when_its_url_is_asked_for(service: Service) -> None:
    customer = Customer.new(service, "free")
    id = customer.created()
    detail = refused(customer.request_upload(id, size_bytes=25_000_001), 413, "file_size_exceeded")
    assert (detail["max_file_size_mb"], detail["size_bytes"]) == (25, 25_000_001)
    assert customer.request_upload(id, size_bytes=25_000_000).json()["max_size_bytes"] == 25_000_000


def test_what_is_neither_audio_nor_video_is_refused(customer: Customer) -> None:
    id = customer.created()
    for content_type in ("application/pdf", "text/audio", "xaudio/mp4"):
        assert (
            refused(customer.request_upload(id, content_type=content_type), 415, "unsupported_media_type")["content_type"] == content_type
        )
    assert customer.request_upload(id, content_type="Video/MP4").status_code == 200


def test_an_upload_url_says_how_and_until_when(customer: Customer) -> None:
    response = customer.request_upload(customer.created(), size_bytes=1234)
    answer = response.json()
    assert (answer["method"], answer["headers"], answer["max_size_bytes"]) == ("PUT", {"Content-Type": AUDIO}, 1234)
    assert answer["upload_url"].startswith(customer.service.address)
    remaining = datetime.fromisoformat(answer["expires_at"]) - datetime.now(UTC)  # noqa: TID251
    assert timedelta(minutes=14) < remaining <= timedelta(minutes=15)


def test_an_upload_that_never_came_cannot_be_confirmed(customer: Customer) -> None:
    id = customer.created()
    refused(customer.confirm(id), 409, "upload_missing")
    assert customer.get(id).json()["status"] == "uploading"


def test_completing_twice_books_once(customer: Customer) -> None:
    id = customer.created()
    first, second = customer.complete(id, 601), customer.complete(id, 601)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert customer.used("minutes") == 601


def test_completing_by_twenty_callers_at_once_books_once(customer: Customer) -> None:
    id = customer.created()
    responses = at_once(*[lambda: customer.complete(id, 601)] * 20)
    assert {response.status_code for response in responses} == {200}
    assert customer.used("minutes") == 601


def test_twenty_callers_with_different_durations_book_the_one_that_the_session_shows(customer: Customer) -> None:
    id = customer.created()
    responses = at_once(*[lambda seconds=seconds: customer.complete(id, seconds) for seconds in range(100, 120)])
    assert sorted(response.status_code for response in responses) == [200] + [409] * 19
    assert customer.used("minutes") == customer.get(id).json()["duration_seconds"]


def test_minutes_over_the_limit_are_booked_as_overage_and_the_next_creation_is_refused(service: Service) -> None:
    customer = Customer.new(service, "free")
    customer.has_used("minutes", 99 * MINUTE, days_ago(1))
    assert customer.complete(customer.created(), 90).status_code == 200
    assert customer.used("minutes") == 100 * MINUTE + 30
    overage = "SELECT overage FROM usage_record WHERE customer_id = $1 AND feature = 'minutes' ORDER BY recorded_at DESC LIMIT 1"
    assert service.database.value(overage, customer.id) == 30
    detail = refused(customer.create(), 403, "transcription_limit_exceeded")
    assert (detail["current_usage"], detail["limit"], detail["remaining"]) == (100.5, 100, 0)


def test_a_second_of_minutes_left_is_enough_to_create(service: Service) -> None:
    customer = Customer.new(service, "free")
    customer.has_used("minutes", 100 * MINUTE - 1, days_ago(1))
    id = customer.created()
    customer.complete(id, 1)
    refused(customer.create(), 403, "transcription_limit_exceeded")


def test_a_plan_change_keeps_the_usage_and_holds_the_very_next_request_to_the_new_limit(service: Service) -> None:
    customer = Customer.new(service, "free")
    for _ in range(10):
        customer.created()
    refused(customer.create(), 403, "session_limit_exceeded")
    customer.moves_to("pro")
    customer.created()
    customer.moves_to("free")
    detail = refused(customer.create(), 403, "session_limit_exceeded")
    assert (detail["plan"], detail["limit"], detail["current_usage"], detail["remaining"]) == ("free", 10, 11, 0)


def test_a_moved_anchor_takes_effect_at_once_in_either_direction(service: Service) -> None:
    customer = Customer.new(service, "free", billing_anchor=days_ago(1).isoformat())
    customer.has_used("minutes", 100 * MINUTE, days_ago(2))
    customer.created()
    for anchor, status in ((days_ago(3), 403), (days_ago(1), 201), (None, 403)):
        body = {"billing_anchor": anchor.isoformat() if anchor else None}
        assert service.admin.patch(f"/api/v1/customers/{customer.id}", json=body).status_code == 200
        assert customer.create().status_code == status


def test_failing_books_no_minutes_and_the_session_stays_counted(customer: Customer) -> None:
    id = customer.created()
    response = customer.fail(id, "silence")
    assert (response.status_code, response.json()["status"], response.json()["failure_reason"]) == (200, "failed", "silence")
    assert customer.fail(id, "again").json()["failure_reason"] == "silence"
    assert (customer.used("sessions"), customer.used("minutes")) == (1, 0)


def test_states_only_move_forward(customer: Customer) -> None:
    pending, completed, failed = (customer.created() for _ in range(3))
    customer.upload(pending)
    assert customer.confirm(pending).json() == customer.confirm(pending).json()
    customer.complete(completed, 60)
    customer.fail(failed)
    steps = {
        (pending, "pending"): (customer.request_upload,),
        (completed, "completed"): (
            customer.request_upload,
            customer.confirm,
            customer.fail,
            partial(customer.complete, duration_seconds=61),
        ),
        (failed, "failed"): (customer.request_upload, customer.confirm, customer.complete),
    }
    for (id, status), back in steps.items():
        for step in back:
            assert refused(step(id), 409, "invalid_session_state")["status"] == status
        assert customer.get(id).json()["status"] == status
    assert customer.used("minutes") == 60


def test_a_session_that_does_not_exist_is_not_found_by_any_route(customer: Customer) -> None:
    for step in (customer.get, customer.request_upload, customer.confirm, customer.complete, customer.fail):
        refused(step(str(uuid4())), 404, "session_not_found")


def test_sessions_are_listed_newest_first_page_by_page_while_new_ones_are_added(customer: Customer) -> None:
    ids = [customer.created() for _ in range(7)]
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = customer.client.get("/api/v1/sessions", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        found += [item["id"] for item in page["items"]]
        at_once(*[customer.created] * 4)
        if not (cursor := page["next_cursor"]):
            break
    assert found == ids[::-1]


def test_a_list_has_50_items_unless_asked_for_1_to_200(customer: Customer) -> None:
    at_once(*[customer.created] * 51)
    page = customer.client.get("/api/v1/sessions").json()
    assert (len(page["items"]), page["next_cursor"] is None) == (50, False)
    assert len(customer.client.get("/api/v1/sessions", params={"limit": 200}).json()["items"]) == 51
    for limit in (0, 201, "many"):
        assert customer.client.get("/api/v1/sessions", params={"limit": limit}).status_code == 422


def test_a_session_is_only_created_by_a_body_that_has_what_belongs_in_it(customer: Customer) -> None:
    for change in ({"title": ""}, {"title": "x" * 256}, {"language": "not a language"}, {"stt_provider": "gramophone"}, {"minutes": 5}):
        assert isinstance(refused_form(customer, change), list)
    assert "provider" not in NEW_SESSION
    assert customer.client.get("/api/v1/sessions").json()["items"] == []


def refused_form(customer: Customer, change: dict[str, object]) -> object:
    response = customer.create(**change)
    assert response.status_code == 422
    return response.json()["detail"]
