"""A learner's practice, from the plan to the last session and beyond it, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.integration.coaching import at_once, days_ago
from tests.integration.learners import SECONDS, Learner, remaining, told
from tests.integration.service import Service, new_id, refused, until

NO_ASSESSMENTS = {"assessments_limit": 2, "assessments_used": 0, "assessments_remaining": 2}


@pytest.fixture
def learner(service: Service) -> Learner:
    return Learner.new(service)


def limits(used: int, limit: int = 30) -> dict[str, object]:
    return {name: value for name, value in remaining(used, limit).items() if name != "display"}


def test_one_of_eight_sessions_done_shows_one_used_of_thirty_wherever_one_looks(learner: Learner) -> None:
    plan = learner.plan(8, 2)
    assert learner.limits() == limits(0) | NO_ASSESSMENTS
    told(learner.start("monday", plan), 201)
    saved = told(learner.save("monday", plan, conversation_type="role_play", summary="Ordered a coffee."), 201)
    progress = {
        "completed_sessions": 1,
        "total_sessions": 8,
        "sessions_per_week": 2,
        "progress_percentage": 12.5,
        "weekly_schedule": [{"week": week, "sessions_total": 2, "sessions_completed": int(week == 1)} for week in (1, 2, 3, 4)],
    }
    assert progress.items() <= saved["learning_plan"].items()
    assert (saved["subscription"], saved["over_limit"]) == (remaining(1), False)
    session = {"id": "monday", "learning_plan_id": plan, "conversation_type": "role_play", "duration_seconds": SECONDS}
    assert (session | {"summary": "Ordered a coffee.", "status": "saved"}).items() <= saved["practice_session"].items()
    assert told(learner.get_plan(plan), 200) == saved["learning_plan"]
    assert told(learner.assess("spring"), 201)["subscription"] == {
        "assessments_used": 1,
        "assessments_limit": 2,
        "assessments_remaining": 1,
    }
    assert learner.limits() == limits(1) | {"assessments_limit": 2, "assessments_used": 1, "assessments_remaining": 1}
    assert (learner.used("practice_sessions"), learner.used("assessments")) == (1, 1)


def test_a_created_plan_is_told_and_found_where_its_location_says(learner: Learner) -> None:
    response = learner.create_plan(7, 2, language="Portuguese", level="advanced")
    plan = told(response, 201)
    assert response.headers["Location"] == f"/api/v1/learning-plans/{plan['id']}"
    assert learner.client.get(response.headers["Location"]).json() == plan
    assert UUID(plan["id"]).version == 7
    assert (plan["language"], plan["level"], plan["completed_sessions"], plan["progress_percentage"]) == ("Portuguese", "advanced", 0, 0)
    assert isinstance(plan["progress_percentage"], int)
    assert [week["sessions_total"] for week in plan["weekly_schedule"]] == [2, 2, 2, 1]
    assert abs(datetime.fromisoformat(plan["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)  # noqa: TID251


def test_every_save_agrees_with_the_plan_and_the_subscription_that_are_read_after_it(learner: Learner) -> None:
    plan = learner.plan(3, 2)
    for done in range(1, 6):
        saved = told(learner.save(plan=plan), 201)
        assert saved["subscription"] == remaining(done)
        assert saved["learning_plan"]["completed_sessions"] == min(done, 3)
        assert told(learner.get_plan(plan), 200) == saved["learning_plan"]
        assert learner.limits() == limits(done) | NO_ASSESSMENTS
    assert saved["learning_plan"]["progress_percentage"] == 100
    assert [week["sessions_completed"] for week in saved["learning_plan"]["weekly_schedule"]] == [2, 1]


def test_free_practice_is_counted_and_belongs_to_no_plan(learner: Learner) -> None:
    plan = learner.plan()
    saved = told(learner.save(), 201)
    assert (saved["learning_plan"], saved["practice_session"]["learning_plan_id"]) == (None, None)
    assert UUID(saved["practice_session"]["id"]).version == 7
    assert told(learner.get_plan(plan), 200)["completed_sessions"] == 0
    assert learner.used("practice_sessions") == 1


def test_saving_again_changes_nothing_and_answers_with_what_is_stored(learner: Learner) -> None:
    plan = learner.plan()
    first, again = learner.save("monday", plan), learner.save("monday", plan)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert learner.used("practice_sessions") == 1


def test_a_session_saved_by_both_screens_at_once_is_saved_once_and_shown_alike(learner: Learner) -> None:
    plan = learner.plan()
    learner.start("monday", plan)
    responses = at_once(*[lambda: learner.save("monday", plan)] * 20)
    assert sorted(response.status_code for response in responses) == [200] * 19 + [201]
    assert len({response.text for response in responses}) == 1
    assert learner.limits() == limits(1) | NO_ASSESSMENTS


def test_other_content_under_the_same_id_is_a_conflict_and_the_first_stays(learner: Learner) -> None:
    plan = learner.plan()
    first = told(learner.save("monday", plan), 201)
    for change in ({"duration_seconds": SECONDS + 1}, {"summary": "Spoke."}, {"conversation_type": "debate"}, {"plan": learner.plan()}):
        detail = refused(learner.save("monday", **({"plan": plan} | change)), 409, "practice_session_conflict")  # type: ignore[arg-type]
        assert (detail["practice_session_id"], detail["status"]) == ("monday", "saved")
    assert told(learner.save("monday", plan), 200) == first
    assert learner.used("practice_sessions") == 1


def test_twenty_different_contents_at_once_save_the_one_that_is_shown(learner: Learner) -> None:
    responses = at_once(*[lambda seconds=seconds: learner.save("monday", duration_seconds=seconds) for seconds in range(100, 120)])
    assert sorted(response.status_code for response in responses) == [201] + [409] * 19
    (stored,) = [response.json()["practice_session"] for response in responses if response.status_code == 201]
    assert told(learner.save("monday", duration_seconds=stored["duration_seconds"]), 200)["practice_session"] == stored
    assert learner.used("practice_sessions") == 1


def test_a_start_holds_a_session_and_starting_again_changes_nothing(learner: Learner) -> None:
    plan = learner.plan()
    first, again = learner.start("monday", plan), learner.start("monday", plan)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    started = first.json()
    assert (started["id"], started["learning_plan_id"], started["status"]) == ("monday", plan, "started")
    assert datetime.fromisoformat(started["expires_at"]) - datetime.fromisoformat(started["started_at"]) == timedelta(hours=3)
    assert started["subscription"] == {"sessions_used": 0, "sessions_limit": 30, "sessions_remaining": 29, "display": "29/30"}
    assert learner.limits()["sessions_remaining"] == 29
    saved = told(learner.save("monday"), 201)
    assert (saved["practice_session"]["started_at"], saved["learning_plan"]["id"]) == (started["started_at"], plan)
    assert saved["subscription"] == remaining(1)


def test_a_start_is_refused_with_all_the_facts_where_none_is_left(service: Service) -> None:
    learner = Learner.new(service, "try_learn")
    learner.save()
    for _ in range(2):
        told(learner.start(), 201)
    period = learner.status()["period"]
    refusal = refused(learner.start("monday"), 403, "practice_session_limit_exceeded")
    assert refusal.pop("message").startswith("Practice session limit exceeded: 3 (used 1, set aside 2 until ")
    assert refusal == {
        "error": "practice_session_limit_exceeded",
        "plan": "try_learn",
        "feature": "practice_sessions",
        "current_usage": 1,
        "held": 2,
        "requested": 1,
        "limit": 3,
        "remaining": 0,
        "allowance": 3,
        "granted": 0,
        "resets_at": period["end"],
    }
    assert learner.limits() == limits(1, 3) | {
        "sessions_remaining": 0,
        "assessments_limit": 1,
        "assessments_used": 0,
        "assessments_remaining": 1,
    }


def test_an_abandoned_start_gives_the_session_back_and_what_was_practised_can_still_be_saved(service: Service) -> None:
    learner = Learner.new(service, "try_learn")
    for id in ("monday", "tuesday", "wednesday"):
        told(learner.start(id), 201)
    refused(learner.start("thursday"), 403, "practice_session_limit_exceeded")
    learner.hold_expires("monday")
    assert learner.limits()["sessions_remaining"] == 1
    told(learner.start("thursday"), 201)
    refused(learner.start("monday"), 403, "practice_session_limit_exceeded")
    saved = told(learner.save("monday"), 201)
    assert (saved["subscription"]["sessions_used"], saved["over_limit"]) == (1, False)
    state = "SELECT state, late FROM reservation WHERE customer_id = $1 AND reference = 'monday'"
    assert service.database.rows(state, learner.id) == [{"state": "committed", "late": True}]
    assert learner.used("practice_sessions") == 1


def test_what_finishes_with_none_left_is_booked_above_the_limit_and_the_next_start_is_refused(service: Service) -> None:
    learner = Learner.new(service, "try_learn")
    saved = [told(learner.save(id), 201) for id in ("a", "b", "c", "d")]
    assert [item["over_limit"] for item in saved] == [False, False, False, True]
    assert saved[-1]["subscription"] == remaining(4, 3)
    assert told(learner.save("d"), 200) == saved[-1]
    assert refused(learner.start(), 403, "practice_session_limit_exceeded")["current_usage"] == 4
    overage = "SELECT sum(overage)::int FROM usage_record WHERE customer_id = $1"
    assert service.database.value(overage, learner.id) == 1
    assert learner.used("practice_sessions") == 4


def test_a_plan_that_is_anothers_or_nobodys_is_not_found_and_nothing_is_booked_or_held(learner: Learner, service: Service) -> None:
    other = Learner.new(service)
    plan = other.plan()
    for unknown in (plan, "nope", "not/a plan"):
        for call in (learner.start, learner.save):
            refused(call("monday", unknown), 404, "learning_plan_not_found")
    for unknown in (plan, "nope"):
        refused(learner.get_plan(unknown), 404, "learning_plan_not_found")
    assert learner.limits() == limits(0) | NO_ASSESSMENTS
    assert told(other.get_plan(plan), 200)["completed_sessions"] == 0
    told(learner.save("monday"), 201)


def test_two_learners_may_name_their_sessions_and_assessments_alike(service: Service) -> None:
    for learner in (Learner.new(service), Learner.new(service)):
        told(learner.start("monday"), 201)
        told(learner.save("monday"), 201)
        told(learner.assess("monday"), 201)


def test_assessments_are_enforced_and_each_is_counted_once(learner: Learner) -> None:
    first, again = learner.assess("spring"), learner.assess("spring")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert tuple(first.json()[name] for name in ("id", "kind", "score")) == ("spring", "speaking", 78.5)
    assert refused(learner.assess("spring", score=80), 409, "assessment_conflict")["assessment_id"] == "spring"
    second = told(learner.assess(score=None), 201)
    assert (second["score"], second["subscription"]["assessments_remaining"]) == (None, 0)
    detail = refused(learner.assess("autumn"), 403, "assessment_limit_exceeded")
    assert (detail["message"], detail["current_usage"], detail["limit"]) == ("Assessment limit exceeded: 2", 2, 2)
    assert told(learner.assess("spring"), 200)["subscription"]["assessments_used"] == 2
    assert learner.used("assessments") == 2


@pytest.mark.parametrize("path", ["learning-plans", "practice-sessions/start", "practice-sessions/save", "assessments"])
def test_every_post_takes_effect_once_by_its_key(learner: Learner, path: str) -> None:
    body: dict[str, object] = {
        "learning-plans": {"language": "es", "level": "B1", "total_sessions": 8, "sessions_per_week": 2},
        "practice-sessions/start": {},
        "practice-sessions/save": {"duration_seconds": 1},
        "assessments": {"kind": "writing"},
    }[path]
    first, *replays = [learner.post(path, body, key="k") for _ in range(3)]
    told(first, 201)
    for replay in replays:
        assert (replay.status_code, replay.content, replay.headers["Idempotency-Replayed"]) == (201, first.content, "true")
        assert replay.headers.get("Location") == first.headers.get("Location")
    refused(learner.save("another", key="k"), 422, "idempotency_key_reused")
    status = learner.limits()
    assert (status["sessions_used"], status["assessments_used"]) == (path.endswith("save"), path == "assessments")


def at_the_end_of_a_period(service: Service, seconds: int = 4) -> tuple[Learner, dict[str, Any], dict[str, Any]]:
    """Somebody who has used something in a period that ends in a few seconds, her last save, and her status in that period."""
    end = days_ago(0) + timedelta(seconds=seconds)
    learner = Learner.new(service, billing_interval="day", billing_anchor=(end - timedelta(days=1)).isoformat())
    plan = learner.plan()
    for _ in range(2):
        saved = told(learner.save(plan=plan), 201)
    told(learner.assess(), 201)
    status = learner.status()
    if days_ago(0) >= end:  # the machine is too slow for it
        return at_the_end_of_a_period(service, 3 * seconds)
    assert (status["limits"]["sessions_used"], status["limits"]["assessments_used"]) == (2, 1)
    return learner, saved, status


def test_a_billing_period_that_ends_leaves_progress_as_it_is_and_gives_everything_back(service: Service) -> None:
    learner, saved, before = at_the_end_of_a_period(service)
    plan = saved["learning_plan"]["id"]
    after = until(lambda: status if (status := learner.status())["period"] != before["period"] else None)
    assert after["period"]["start"] == before["period"]["end"]
    assert after["limits"] == limits(0) | NO_ASSESSMENTS
    assert told(learner.get_plan(plan), 200) == saved["learning_plan"]
    first = told(learner.save(plan=plan), 201)
    assert first["subscription"] == remaining(1)
    assert first["learning_plan"]["completed_sessions"] == 3


def test_a_plan_change_keeps_the_usage_and_the_status_shows_the_new_limits(service: Service) -> None:
    learner = Learner.new(service, "try_learn")
    for _ in range(4):
        learner.save()
    learner.moves_to("fluency_builder")
    status = learner.status()
    assert (status["plan"], status["limits"]) == ("fluency_builder", limits(4) | NO_ASSESSMENTS)
    told(learner.start(), 201)


def test_a_plan_without_learning_shows_limits_of_zero_and_books_what_was_done_above_them(service: Service) -> None:
    learner = Learner.new(service, "starter")
    nothing = {"assessments_limit": 0, "assessments_used": 0, "assessments_remaining": 0}
    assert learner.limits() == limits(0, 0) | nothing
    assert refused(learner.start(), 403, "feature_not_in_plan")["feature"] == "practice_sessions"
    assert refused(learner.assess(), 403, "feature_not_in_plan")["feature"] == "assessments"
    saved = told(learner.save(), 201)
    assert (saved["subscription"], saved["over_limit"]) == (remaining(1, 0), True)
    assert learner.limits() == limits(1, 0) | nothing


def test_an_unlimited_plan_shows_null(service: Service) -> None:
    entitlements = {feature: {"type": "metered", "limit": None} for feature in ("practice_sessions", "assessments")}
    plan = new_id("plan")
    assert service.admin.put(f"/api/v1/plans/{plan}", json={"name": "Endless", "entitlements": entitlements}).status_code == 201
    learner = Learner.new(service, plan)
    told(learner.start(), 201)
    saved = told(learner.save(), 201)
    assert saved["subscription"] == {"sessions_used": 1, "sessions_limit": None, "sessions_remaining": None, "display": "unlimited"}
    assert not saved["over_limit"]
    assessed = told(learner.assess(), 201)["subscription"]
    assert assessed == {"assessments_used": 1, "assessments_limit": None, "assessments_remaining": None}
    assert learner.limits() == {"sessions_limit": None, "sessions_used": 1, "sessions_remaining": None} | assessed


def test_a_service_key_practises_for_the_customer_that_it_names_and_a_read_key_only_looks(learner: Learner, service: Service) -> None:
    plan = learner.plan()
    key = service.key("tg_the-admin-key-of-the-integration-tests", learner.id)
    told(key.post("/api/v1/practice-sessions/save", json={"learning_plan_id": plan, "duration_seconds": 1}), 201)
    assert told(key.get("/api/v1/subscription-status"), 200) == learner.status()
    assert told(key.get(f"/api/v1/learning-plans/{plan}"), 200)["completed_sessions"] == 1
    assert service.admin.get("/api/v1/subscription-status").status_code == 422
    for path in ("learning-plans", "practice-sessions/start", "practice-sessions/save", "assessments"):
        refused(service.anyone.post(f"/api/v1/{path}", json={}), 401, "unauthenticated")


def test_a_customer_that_nobody_created_is_told_so(service: Service) -> None:
    nobody = Learner(new_id(), service)
    for response in (nobody.create_plan(), nobody.start(), nobody.save(), nobody.assess()):
        refused(response, 404, "customer_not_found")
    refused(nobody.client.get("/api/v1/subscription-status"), 404, "customer_not_found")


@pytest.mark.parametrize("id", ["x" * 255, "a/b", "50%", "'; DROP TABLE practice_session; --", "naïve 😀", "a b"])
def test_an_id_of_the_callers_is_kept_as_it_is(learner: Learner, id: str) -> None:
    assert told(learner.start(id), 201)["id"] == id
    assert told(learner.save(id), 201)["practice_session"]["id"] == id
    assert told(learner.assess(id), 201)["id"] == id


@pytest.mark.parametrize("id", ["", " ", "a ", "x" * 256, "a\nb", "\x00", 7])
def test_what_cannot_be_an_id_is_refused(learner: Learner, id: object) -> None:
    bodies: dict[str, dict[str, object]] = {
        "practice-sessions/start": {"id": id, "learning_plan_id": id},
        "practice-sessions/save": {"id": id, "learning_plan_id": id, "duration_seconds": 1},
        "assessments": {"id": id, "kind": "speaking"},
    }
    for path, body in bodies.items():
        mistakes = told(learner.post(path, body), 422)["detail"]
        assert [mistake["loc"] for mistake in mistakes] == [["body", name] for name in body if name.endswith("id")]


def test_only_a_body_that_has_what_belongs_in_it_is_accepted(learner: Learner) -> None:
    mistakes = [
        *[learner.create_plan(total) for total in (0, -1, 1001)],
        *[learner.create_plan(8, per_week) for per_week in (0, 1001)],
        *[learner.create_plan(**change) for change in ({"language": ""}, {"level": "x" * 65}, {"total_sessions": 8.5}, {"pace": 1})],
        *[learner.save(duration_seconds=seconds) for seconds in (-1, -0.5, "9", None, 604_801)],
        *[learner.save(**change) for change in ({"summary": 1}, {"conversation_type": 1}, {"pace": 1})],
        *[learner.assess(score=score) for score in ("8", True, 1e7)],
        learner.assess(kind=""),
    ]
    for response in mistakes:
        assert isinstance(told(response, 422)["detail"], list)
    assert learner.limits() == limits(0) | NO_ASSESSMENTS


def test_progress_is_right_at_once_for_sessions_that_were_written_into_the_database(learner: Learner) -> None:
    plan = learner.plan()
    for _ in range(3):
        learner.practised(days_ago(1), plan=plan)
    assert told(learner.get_plan(plan), 200)["progress_percentage"] == 37.5
