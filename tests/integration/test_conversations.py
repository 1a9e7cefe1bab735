"""Messages and the conversations that they are counted by, over HTTP."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.integration.restaurants import GUEST, Restaurant, guest
from tests.integration.service import ADMIN_KEY, Service, refused, tollgate

DAY = timedelta(hours=24)


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)  # noqa: TID251 - the service under test reads the same clock


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
def restaurant(service: Service) -> Restaurant:
    return Restaurant.new(service)


def test_a_first_message_opens_a_conversation_of_24_hours_and_books_it(restaurant: Restaurant) -> None:
    response = restaurant.send("inbound", "+1 (415) 555-2671")
    assert response.status_code == 201
    answer = response.json()
    conversation = answer["conversation"]
    assert set(conversation) >= {"id", "counterparty", "started_at", "expires_at", "message_count"}
    assert (conversation["counterparty"], conversation["message_count"]) == (GUEST, 1)
    assert instant(conversation["expires_at"]) - instant(conversation["started_at"]) == DAY
    assert UUID(conversation["id"]).version == 7
    assert answer["new_conversation"] is True
    assert answer["usage"] == {"used": 1, "limit": 3, "remaining": 2}
    assert answer["over_limit"] is False
    assert restaurant.client.get(response.headers["Location"]).json() == conversation


def test_inbound_and_outbound_queued_and_direct_are_counted_by_the_same_conversation(restaurant: Restaurant) -> None:
    first = restaurant.sent("inbound")
    for count, fields in enumerate(({"direction": "outbound"}, {"channel": "queued"}, {"direction": "outbound", "channel": "direct"}), 2):
        answer = restaurant.sent(**fields)
        assert (answer["conversation"]["id"], answer["conversation"]["message_count"]) == (first["conversation"]["id"], count)
        assert (answer["new_conversation"], answer["usage"]["used"]) == (False, 1)
        assert instant(answer["conversation"]["expires_at"]) > instant(first["conversation"]["expires_at"])


def test_a_message_extends_the_window_to_24_hours_after_itself(restaurant: Restaurant) -> None:
    restaurant.sent(sent_at=ago(hours=20))
    later = ago(hours=2)
    assert instant(restaurant.sent(sent_at=later)["conversation"]["expires_at"]) == later + DAY


def test_outbound_beyond_the_quota_is_refused_with_the_facts_and_when_to_try_again(restaurant: Restaurant) -> None:
    for number in range(3):
        restaurant.sent("outbound", guest(number))
    response = restaurant.send("outbound", guest(3))
    detail = refused(response, 429, "conversation_quota_exceeded")
    facts = {name: detail[name] for name in ("feature", "current_usage", "held", "requested", "limit", "remaining", "plan")}
    assert facts == {
        "feature": "conversations",
        "current_usage": 3,
        "held": 0,
        "requested": 1,
        "limit": 3,
        "remaining": 0,
        "plan": restaurant.id,
    }
    until_reset = instant(detail["resets_at"]) - ago()
    assert abs(int(response.headers["Retry-After"]) - until_reset.total_seconds()) < 30
    assert (restaurant.used(), len(restaurant.conversations())) == (3, 3)
    assert restaurant.sent("outbound", guest(0))["conversation"]["message_count"] == 2


def test_inbound_beyond_the_quota_is_booked_as_overage_and_may_be_answered(restaurant: Restaurant) -> None:
    for number in range(3):
        restaurant.sent("inbound", guest(number))
    answer = restaurant.sent("inbound", guest(3))
    assert (answer["over_limit"], answer["usage"]) == (True, {"used": 4, "limit": 3, "remaining": 0})
    assert restaurant.sent("outbound", guest(3))["over_limit"] is False
    usage = restaurant.client.get(f"/api/v1/customers/{restaurant.id}/usage").json()["features"]["conversations"]
    assert (usage["used"], usage["overage"], usage["display"]) == (4, 1, "0/3")


def test_the_same_message_again_is_answered_200_as_it_was_first(restaurant: Restaurant) -> None:
    first = restaurant.sent(message_id="m")
    restaurant.sent()
    again = restaurant.send("inbound", "(415) 555-2671", "m", sent_at=ago(days=99), channel="queued")
    assert (again.status_code, again.json()) == (200, first)
    assert restaurant.conversations()[0]["message_count"] == 2
    assert restaurant.used() == 1


def test_an_idempotency_key_replays_the_201_and_is_refused_for_another_message(restaurant: Restaurant) -> None:
    first = restaurant.send(message_id="m", key="k")
    again = restaurant.send(message_id="m", key="k")
    assert (again.status_code, again.content, again.headers["Idempotency-Replayed"]) == (201, first.content, "true")
    refused(restaurant.send(message_id="n", key="k"), 422, "idempotency_key_reused")
    assert restaurant.conversations()[0]["message_count"] == 1


def test_three_spellings_of_a_number_are_one_counterparty(restaurant: Restaurant) -> None:
    for spelling in ("+1 (415) 555-2671", "14155552671", "(415) 555-2671"):
        answer = restaurant.sent(counterparty=spelling)
    assert (answer["conversation"]["counterparty"], answer["conversation"]["message_count"]) == (GUEST, 3)
    assert restaurant.used() == 1


@pytest.mark.parametrize("number", ["", "12345", "+1 415 555"])
def test_what_is_no_phone_number_is_refused_and_nothing_is_booked(restaurant: Restaurant, number: str) -> None:
    assert refused(restaurant.send("outbound", number), 422, "invalid_phone_number")["counterparty"] == number
    assert restaurant.conversations() == []


def test_a_new_phone_region_reads_the_very_next_number(service: Service) -> None:
    restaurant = Restaurant.new(service, phone_region=None)
    refused(restaurant.send("outbound", "(415) 555-2671"), 422, "invalid_phone_number")
    service.admin.patch(f"/api/v1/customers/{restaurant.id}", json={"phone_region": "US"})
    assert restaurant.sent(counterparty="(415) 555-2671")["conversation"]["counterparty"] == GUEST


@pytest.mark.parametrize("time", [{"days": 35.1}, {"minutes": -5.5}, {"days": 700_000}])
def test_a_message_of_long_ago_or_of_the_future_is_refused(restaurant: Restaurant, time: dict[str, float]) -> None:
    assert "earliest" in refused(restaurant.send(sent_at=ago(**time)), 422, "invalid_sent_at")
    assert restaurant.conversations() == []


@pytest.mark.parametrize(
    "wrong", [{"direction": "sideways"}, {"channel": "pigeon"}, {"message_id": ""}, {"sent_at": "2026-11-01T00:00:00"}, {"text": "hi"}]
)
def test_a_mistake_in_the_body_is_answered_by_a_list(restaurant: Restaurant, wrong: dict[str, object]) -> None:
    body = {"direction": "inbound", "counterparty": GUEST, "message_id": "m"} | wrong
    response = restaurant.backend.post("/api/v1/messages", json=body)
    assert response.status_code == 422
    assert isinstance(response.json()["detail"], list)


def test_a_plan_without_conversations_refuses_outbound_and_takes_inbound(service: Service) -> None:
    restaurant = Restaurant.new(service, plan="free")
    assert refused(restaurant.send("outbound"), 403, "feature_not_in_plan")["feature"] == "conversations"
    assert restaurant.sent("inbound")["over_limit"] is True


def test_messages_that_arrive_out_of_order_make_the_conversations_of_the_sorted_day(service: Service) -> None:
    restaurant = Restaurant.new(service, window={"length_seconds": 3600})
    base = ago(hours=6)
    ids = [restaurant.sent(sent_at=base + timedelta(minutes=minute))["conversation"]["id"] for minute in (90, 0)]
    assert restaurant.used() == 2
    between = restaurant.sent(sent_at=base + timedelta(minutes=45))
    assert (between["conversation"]["id"], between["conversation"]["message_count"]) == (ids[1], 3)
    assert (between["usage"]["used"], between["new_conversation"]) == (1, False)
    (conversation,) = restaurant.conversations()
    assert instant(conversation["started_at"]) == base
    assert instant(conversation["expires_at"]) == base + timedelta(minutes=150)
    assert restaurant.client.get(f"/api/v1/conversations/{ids[0]}").json() == conversation
    records = restaurant.client.get(f"/api/v1/customers/{restaurant.id}/usage/records").json()["items"]
    assert sorted(record["quantity"] for record in records) == [-1, 1, 1]


def test_what_is_merged_twice_over_still_leads_to_the_conversation_that_it_is_part_of(service: Service) -> None:
    restaurant = Restaurant.new(service, window={"length_seconds": 3600})
    base = ago(hours=6)
    minutes = (180, 90, 0, 135, 45)
    ids = [restaurant.sent(sent_at=base + timedelta(minutes=minute))["conversation"]["id"] for minute in minutes]
    (conversation,) = restaurant.conversations()
    assert (conversation["id"], conversation["message_count"]) == (ids[2], 5)
    for id in ids:
        assert restaurant.client.get(f"/api/v1/conversations/{id}").json() == conversation
    assert restaurant.used() == 1


def test_a_plan_change_to_fixed_windows_or_a_cap_acts_at_the_very_next_message(service: Service) -> None:
    restaurant = Restaurant.new(service, limit=None)
    end = restaurant.sent(sent_at=ago(hours=2))["conversation"]["expires_at"]
    restaurant.moves_to(None, {"extending": False})
    assert restaurant.sent()["conversation"]["expires_at"] == end
    restaurant.moves_to(None, {"messages_max": 2})
    opened = restaurant.sent()
    assert (opened["new_conversation"], opened["usage"]) == (True, {"used": 2, "limit": None, "remaining": None})


def test_a_plans_window_is_shown_as_it_was_put_and_putting_it_again_changes_nothing(service: Service) -> None:
    restaurant = Restaurant.new(service, 5, {"length_seconds": 3600, "messages_max": 10})
    shown = service.admin.get(f"/api/v1/plans/{restaurant.id}").json()
    window = {"length_seconds": 3600, "extending": True, "messages_max": 10}
    assert shown["entitlements"]["conversations"]["window"] == window | {"extends": "any"}
    again = service.admin.put(f"/api/v1/plans/{restaurant.id}", json={"name": shown["name"], "entitlements": shown["entitlements"]})
    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert restaurant.publishes(5, window | {"extends": "any"}).status_code == 200
    assert restaurant.publishes(5, window | {"extends": "inbound"}).status_code == 201
    assert restaurant.publishes(5, {"length_seconds": 3601, "messages_max": 10}).status_code == 201


def test_where_only_inbound_messages_extend_outbound_is_counted_and_leaves_the_end_as_it_is(service: Service) -> None:
    restaurant = Restaurant.new(service, 1, {"extends": "inbound"})
    end = restaurant.sent("inbound", sent_at=ago(hours=2))["conversation"]["expires_at"]
    answered = restaurant.sent("outbound")
    assert (answered["conversation"]["expires_at"], answered["conversation"]["message_count"]) == (end, 2)
    extended = restaurant.sent("inbound")["conversation"]
    assert (instant(extended["expires_at"]) > instant(end), extended["message_count"]) == (True, 3)
    assert restaurant.used() == 1


@pytest.mark.parametrize(
    "window",
    [
        *({"length_seconds": 0}, {"length_seconds": 31 * 86_400 + 1}, {"messages_max": 0}, {"extending": "no"}, {"hours": 24}),
        *({"extends": "outbound"}, {"extends": None}, {"length_seconds": 1.5}, {"length_seconds": None}),
    ],
)
def test_a_window_that_makes_no_sense_is_not_published(service: Service, window: dict[str, object]) -> None:
    body = {"name": "Own", "entitlements": {"conversations": {"type": "metered", "limit": 1, "window": window}}}
    assert service.admin.put("/api/v1/plans/nonsense", json=body).status_code == 422


def test_a_window_of_another_feature_is_not_published(service: Service) -> None:
    body = {"name": "Own", "entitlements": {"sessions": {"type": "metered", "limit": 1, "window": {}}}}
    refused(service.admin.put("/api/v1/plans/nonsense", json=body), 422, "invalid_plan")


def test_active_and_past_conversations_are_listed_newest_first_in_pages(service: Service) -> None:
    restaurant = Restaurant.new(service, limit=None, window={"length_seconds": 3600})
    for hours in (1, 2, 5, 8):
        restaurant.sent(counterparty=guest(hours), sent_at=ago(hours=hours - 0.5))
    assert [item["counterparty"] for item in restaurant.conversations()] == [guest(hours) for hours in (1, 2, 5, 8)]
    assert [item["counterparty"] for item in restaurant.conversations("active=true")] == [guest(1)]
    assert [item["counterparty"] for item in restaurant.conversations("active=false")] == [guest(hours) for hours in (2, 5, 8)]
    first = restaurant.client.get("/api/v1/conversations?active=false&limit=2").json()
    rest = restaurant.client.get(f"/api/v1/conversations?active=false&limit=2&cursor={first['next_cursor']}").json()
    assert [item["counterparty"] for item in first["items"] + rest["items"]] == [guest(hours) for hours in (2, 5, 8)]
    assert rest["next_cursor"] is None


def test_another_customers_conversations_are_not_to_be_seen(service: Service, restaurant: Restaurant) -> None:
    id = restaurant.sent()["conversation"]["id"]
    other = Restaurant.new(service)
    for unknown in (id, uuid4()):
        refused(other.client.get(f"/api/v1/conversations/{unknown}"), 404, "conversation_not_found")
    assert other.conversations() == []
    refused(service.key(ADMIN_KEY, "nobody").post("/api/v1/messages", json=body_of("m")), 404, "customer_not_found")


def body_of(message_id: str) -> dict[str, str]:
    return {"direction": "inbound", "counterparty": GUEST, "message_id": message_id}


@pytest.mark.parametrize("lost", ["quantity > 0 AND reference = $2", "quantity < 0 AND reference <> $2"], ids=["the unit", "its return"])
def test_reconcile_finds_and_repairs_a_conversation_that_was_not_booked_and_one_that_was_not_given_back(
    service: Service, lost: str
) -> None:
    restaurant = Restaurant.new(service, limit=None, window={"length_seconds": 3600})
    base = ago(hours=3)
    for minutes in (0, 90, 45):
        id = restaurant.sent(sent_at=base + timedelta(minutes=minutes))["conversation"]["id"]
    arguments, url = ("reconcile", "--customer", restaurant.id), service.database.url
    assert tollgate(*arguments, database_url=url).returncode == 0
    service.database.rows(f"DELETE FROM usage_record WHERE customer_id = $1 AND {lost}", restaurant.id, id)
    assert tollgate(*arguments, "--repair", database_url=url).returncode == 1
    assert tollgate(*arguments, database_url=url).returncode == 0
    assert restaurant.used() == len(restaurant.conversations()) == 1
