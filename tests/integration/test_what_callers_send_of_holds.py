"""What callers send of what is held: a practice session that is given up, and a hold that has to last longer."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.coaching import at_once, days_ago
from tests.integration.contract import publish_everything
from tests.integration.learners import Learner, told
from tests.integration.service import ADMIN_KEY, Service, new_id, refused


@pytest.fixture(scope="module", autouse=True)
def plans(service: Service) -> None:
    publish_everything(service)


@pytest.fixture
def learner(service: Service) -> Learner:
    """On a plan of three practice sessions."""
    return Learner.new(service, "try_learn")


def abandon(learner: Learner, id: str, key: str | None = None) -> httpx.Response:
    return learner.client.post(f"/api/v1/practice-sessions/{id}/abandon", headers={"Idempotency-Key": key} if key else {})


def remaining(learner: Learner) -> int:
    left: int = learner.limits()["sessions_remaining"]
    return left


# A practice session that is given up.


def test_an_abandoned_practice_session_gives_back_what_is_held_for_it(learner: Learner) -> None:
    started = told(learner.start("monday"), 201)
    assert remaining(learner) == 2
    answer = told(abandon(learner, "monday"), 200)
    assert (answer["id"], answer["status"], answer["started_at"]) == ("monday", "abandoned", started["started_at"])
    assert datetime.fromisoformat(answer["abandoned_at"]) >= datetime.fromisoformat(answer["started_at"])
    assert answer["subscription"] == {"sessions_used": 0, "sessions_limit": 3, "sessions_remaining": 3, "display": "3/3"}
    assert remaining(learner) == 3


def test_abandoning_again_changes_nothing(learner: Learner) -> None:
    learner.start("monday")
    learner.start("tuesday")
    first, again = told(abandon(learner, "monday"), 200), told(abandon(learner, "monday"), 200)
    assert again == first
    assert remaining(learner) == 2


def test_all_who_abandon_it_at_once_give_it_back_once(learner: Learner, services: tuple[Service, Service]) -> None:
    learner.start("monday")
    learner.start("tuesday")
    calls = [lambda service=service: abandon(learner.at(service), "monday") for _ in range(5) for service in services]
    assert {response.status_code for response in at_once(*calls)} == {200}
    assert remaining(learner) == 2


def test_a_practice_session_that_is_saved_cannot_be_abandoned(learner: Learner) -> None:
    learner.start("monday")
    learner.save("monday")
    learner.save("never started")
    for id in ("monday", "never started"):
        detail = refused(abandon(learner, id), 409, "practice_session_conflict")
        assert (detail["practice_session_id"], detail["status"]) == (id, "saved")
    assert learner.used("practice_sessions") == 2


def test_a_practice_session_that_nobody_started_is_not_found(learner: Learner, service: Service) -> None:
    other = Learner.new(service)
    other.start("monday")
    refused(abandon(learner, "monday"), 404, "practice_session_not_found")
    refused(abandon(Learner(new_id(), service), "monday"), 404, "customer_not_found")
    assert other.limits()["sessions_remaining"] == 29


def test_what_was_abandoned_can_be_started_anew_and_saved(learner: Learner) -> None:
    plan = learner.plan()
    for _ in range(2):
        assert told(learner.start("monday", plan), 201)["status"] == "started"
        assert remaining(learner) == 2
        assert told(abandon(learner, "monday"), 200)["learning_plan_id"] == plan
    saved = told(learner.save("monday"), 201)
    assert (saved["practice_session"]["status"], saved["learning_plan"]["completed_sessions"]) == ("saved", 1)
    assert (learner.used("practice_sessions"), remaining(learner)) == (1, 2)


def test_the_last_one_can_be_started_once_another_is_abandoned(learner: Learner) -> None:
    for id in ("monday", "tuesday", "wednesday"):
        told(learner.start(id), 201)
    refused(learner.start("thursday"), 403, "practice_session_limit_exceeded")
    abandon(learner, "tuesday")
    told(learner.start("thursday"), 201)


def test_one_whose_hold_has_expired_is_abandoned_all_the_same(learner: Learner) -> None:
    learner.start("monday")
    learner.hold_expires("monday")
    assert told(abandon(learner, "monday"), 200)["status"] == "abandoned"
    assert remaining(learner) == 3


def test_an_abandonment_is_repeated_by_its_key(learner: Learner) -> None:
    key = uuid4().hex
    learner.start("monday")
    first = abandon(learner, "monday", key)
    learner.start("monday")
    again = abandon(learner, "monday", key)
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert remaining(learner) == 2


def test_an_id_with_a_slash_is_abandoned_too(learner: Learner) -> None:
    learner.start("week 1/monday")
    assert told(abandon(learner, "week%201%2Fmonday"), 200)["id"] == "week 1/monday"


# A hold that has to last longer.


class Reserving:
    """A customer on a plan without limits, by its reservations."""

    def __init__(self, service: Service) -> None:
        self.id, self.service = new_id(), service
        self.client = service.key(ADMIN_KEY)
        self.path = f"/api/v1/customers/{self.id}/reservations"
        assert self.client.put(f"/api/v1/customers/{self.id}", json={"plan": "everything"}).status_code == 201

    def reserves(self, quantity: int = 1, ttl_seconds: int = 60, **more: Any) -> dict[str, Any]:
        usage = [{"feature": "sessions", "quantity": quantity}, {"feature": "ai_cost", "quantity": 0.5}]
        return told(self.client.post(self.path, json={"usage": usage, "ttl_seconds": ttl_seconds} | more), 201)

    def extends(self, id: str, ttl_seconds: object = 3600, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.client.post(f"{self.path}/{id}/extend", json={"ttl_seconds": ttl_seconds}, headers=headers)

    def ends(self, id: str, how: str) -> None:
        told(self.client.post(f"{self.path}/{id}/{how}"), 200)

    def expires(self, id: str) -> None:
        """Lets the time of its hold pass, behind the service's back."""
        for table, name in (("reservation", "id"), ("usage_hold", "reservation_id")):
            statement = f"UPDATE {table} SET expires_at = now() - interval '1 second' WHERE customer_id = $1 AND {name} = $2"
            self.service.database.rows(statement, self.id, id)

    def held(self, feature: str = "sessions") -> float:
        answer = self.client.get(f"/api/v1/customers/{self.id}/usage").json()
        held: float = answer["features"][feature]["held"]
        return held


@pytest.fixture
def customer(service: Service) -> Reserving:
    return Reserving(service)


def test_an_extended_hold_ends_so_long_after_now(customer: Reserving) -> None:
    held = customer.reserves()
    extended = told(customer.extends(held["id"]), 200)
    left = datetime.fromisoformat(extended["expires_at"]) - days_ago(0)
    assert timedelta(minutes=59) < left <= timedelta(hours=1, seconds=5)
    by_feature = {"usage": sorted(extended["usage"], key=lambda item: item["feature"], reverse=True)}
    assert extended | by_feature == held | {"expires_at": extended["expires_at"], "balances": extended["balances"]}
    assert (extended["state"], extended["balances"]["sessions"]["held"]) == ("held", 1)
    assert told(customer.client.get(f"{customer.path}/{held['id']}"), 200) == extended
    assert (customer.held(), customer.held("ai_cost")) == (1, 0.5)


def test_a_hold_can_be_made_to_end_sooner(customer: Reserving) -> None:
    held = customer.reserves(ttl_seconds=3600)
    extended = told(customer.extends(held["id"], 1), 200)
    assert extended["expires_at"] < held["expires_at"]


def test_an_extended_hold_outlives_its_first_time(customer: Reserving) -> None:
    kept, left = customer.reserves(ttl_seconds=2), customer.reserves(ttl_seconds=2)
    customer.extends(kept["id"], 600)
    rows = "SELECT reservation_id::text AS id, expires_at > now() + interval '5 minutes' AS kept FROM usage_hold WHERE customer_id = $1"
    assert {(row["id"], row["kept"]) for row in customer.service.database.rows(rows, customer.id)} == {
        (kept["id"], True),
        (left["id"], False),
    }


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda customer, held: customer.ends(held, "commit"), "committed"),
        (lambda customer, held: customer.ends(held, "release"), "released"),
        (Reserving.expires, "expired"),
    ],
)
def test_what_is_not_held_any_more_is_not_extended(customer: Reserving, end: Callable[[Reserving, str], None], state: str) -> None:
    id = customer.reserves()["id"]
    end(customer, id)
    detail = refused(customer.extends(id), 409, "reservation_not_held")
    assert (detail["reservation_id"], detail["state"]) == (id, state)
    assert customer.held() == 0


def test_an_extended_hold_is_committed_in_time(customer: Reserving) -> None:
    id = customer.reserves(3)["id"]
    customer.extends(id)
    committed = told(customer.client.post(f"{customer.path}/{id}/commit"), 200)
    assert (committed["late"], committed["balances"]["sessions"]["used"], customer.held()) == (False, 3, 0)


def test_only_the_customers_own_holds_are_extended(customer: Reserving) -> None:
    other = Reserving(customer.service).reserves()["id"]
    refused(customer.extends(other), 404, "reservation_not_found")
    refused(customer.extends(str(uuid4())), 404, "reservation_not_found")
    refused(customer.extends("none"), 404, "reservation_not_found")


@pytest.mark.parametrize("ttl_seconds", [0, -1, 86_401, "60", 1.5, None, True])
def test_a_hold_is_extended_by_up_to_a_day(customer: Reserving, ttl_seconds: object) -> None:
    id = customer.reserves()["id"]
    assert customer.extends(id, ttl_seconds).status_code == 422
    assert told(customer.extends(id, 86_400), 200)["state"] == "held"


def test_an_extension_is_repeated_by_its_key(customer: Reserving) -> None:
    id, key = customer.reserves()["id"], uuid4().hex
    first = customer.extends(id, 3600, key)
    customer.ends(id, "release")
    again = customer.extends(id, 3600, key)
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    refused(customer.extends(id, 60, key), 422, "idempotency_key_reused")


def test_of_those_who_extend_and_commit_at_once_nobody_leaves_a_hold_behind(customer: Reserving) -> None:
    ids = [customer.reserves()["id"] for _ in range(5)]
    extending = [lambda held=held: customer.extends(held).status_code in (200, 409) for held in ids]
    committing = [lambda held=held: customer.ends(held, "commit") is None for held in ids]
    assert all(at_once(*extending, *committing))
    assert customer.held() == 0
