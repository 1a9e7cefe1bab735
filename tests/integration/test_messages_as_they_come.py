"""Messages as platforms and people really send them: whoever the sender is, however late it comes, whatever was corrected since."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.restaurants import GUEST, Restaurant, guest
from tests.integration.service import Service, refused, tollgate

DAY = timedelta(hours=24)
BUSINESS_SCOPED = "US.13491208655302741918"


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)  # noqa: TID251 - the service under test reads the same clock


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
def restaurant(service: Service) -> Restaurant:
    """Nothing of it ever resets, so that it makes no difference on which day of the month the tests run."""
    return Restaurant.new(service, limit=None, reset="never")


# Numbers that are written in more than one way.

PAIRS = {
    "Mexico, with the 1 of mobile phones": ("+525512345678", "+5215512345678", "5215512345678", "5215512345678@s.whatsapp.net"),
    "Brazil, without the ninth digit": ("+5541987654321", "+554187654321", "554187654321", "whatsapp:+554187654321"),
    "Argentina, without the 9 of mobile phones": ("+5491123456789", "+541123456789", "541123456789", "+54 11 15-2345-6789"),
    "Gabon, before 2019": ("+24177123456", "+24107123456", "+2417123456", "24107123456@c.us"),
    "Côte d'Ivoire, before 2021": ("+2250707123456", "+22507123456", "22507123456@s.whatsapp.net", "0022507123456"),
    "Benin, before 2024": ("+2290190123456", "+22990123456", "22990123456", "22990123456@c.us"),
}


@pytest.mark.parametrize("spellings", PAIRS.values(), ids=PAIRS)
def test_the_forms_of_a_number_are_one_person_in_one_conversation(service: Service, spellings: tuple[str, ...]) -> None:
    restaurant = Restaurant.new(service, phone_region=None)
    for count, spelling in enumerate(spellings, 1):
        for direction in ("inbound", "outbound"):
            conversation = restaurant.sent(direction, spelling)["conversation"]
        assert (conversation["counterparty"], conversation["message_count"]) == (spellings[0], 2 * count)
    assert restaurant.used() == 1


CONTAINED = {
    "+436601234567": (
        *("436601234567@s.whatsapp.net", "436601234567:12@s.whatsapp.net", "436601234567_1:2@s.whatsapp.net", "436601234567@c.us"),
        *("whatsapp:+436601234567", "WhatsApp:436601234567", "tel:+43-660-1234567", "sms:+436601234567", "sip:+436601234567@example.org"),
        *("00436601234567", "0043 660 123 45 67", "+00436601234567", "\u202a+43\u00a0660\u00a01234567\u202c", " +43 660 1234567\n"),
    )
}


@pytest.mark.parametrize("spelling", CONTAINED["+436601234567"])
@pytest.mark.parametrize("region", [None, "US", "AT"])
def test_what_contains_a_number_is_that_number(service: Service, spelling: str, region: str | None) -> None:
    restaurant = Restaurant.new(service, phone_region=region)
    assert restaurant.sent("inbound", spelling)["conversation"]["counterparty"] == "+436601234567"
    assert restaurant.sent("outbound", "+436601234567")["conversation"]["message_count"] == 2


# Senders that are no phone number.

OPAQUE = [
    BUSINESS_SCOPED,
    "12345@lid",
    "120363025246125486@g.us",
    "status@broadcast",
    "maria4155552671",
    "4155a52671",
    "U024BE7LH",
    "Zoë 🦊",
]


@pytest.mark.parametrize("counterparty", [*OPAQUE, "x" * 255, "x" + "🦊" * 254])
def test_an_opaque_counterparty_counts_as_itself_and_may_be_answered(restaurant: Restaurant, counterparty: str) -> None:
    opened = restaurant.sent("inbound", counterparty)["conversation"]
    answered = restaurant.sent("outbound", f" {counterparty}\n")["conversation"]
    assert (answered["id"], answered["counterparty"], answered["message_count"]) == (opened["id"], counterparty, 2)
    assert restaurant.sent("outbound", f"{counterparty[:-1]}?")["new_conversation"] is True


NO_NUMBERS = ["12345", "+1 415 555", "+999123456789", "555-2671", "#12345", "1" * 300]


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_digits_that_can_be_no_number_are_taken_from_a_sender_and_refused_for_a_recipient(restaurant: Restaurant, number: str) -> None:
    assert refused(restaurant.send("outbound", number), 422, "invalid_phone_number")["counterparty"].startswith(number[:200])
    assert restaurant.conversations() == []
    assert restaurant.sent("inbound", number)["conversation"]["message_count"] == 1
    assert restaurant.sent("inbound", number)["conversation"]["message_count"] == 2


def test_spellings_of_digits_that_can_be_no_number_are_one_sender(restaurant: Restaurant) -> None:
    for spelling in ("+999 123-456-789", "+999123456789", "00999123456789", "999123456789@s.whatsapp.net"):
        conversation = restaurant.sent("inbound", spelling)["conversation"]
    assert (conversation["counterparty"], conversation["message_count"]) == ("+999123456789", 4)


@pytest.mark.parametrize("number", ["12345@s.whatsapp.net", "whatsapp:12345", "tel:12345", "", " ", "\u200b"])
def test_a_recipient_that_should_be_a_number_and_is_none_is_refused(restaurant: Restaurant, number: str) -> None:
    assert refused(restaurant.send("outbound", number), 422, "invalid_phone_number")["counterparty"] == number


@pytest.mark.parametrize("sender", ["", "   ", "\n", "\u200b"])
def test_a_sender_that_is_withheld_is_counted_as_unknown(restaurant: Restaurant, sender: str) -> None:
    assert restaurant.sent("inbound", sender)["conversation"]["counterparty"] == "unknown"
    assert restaurant.sent("inbound", "")["conversation"]["message_count"] == 2


@pytest.mark.parametrize(
    ("sender", "counterparty"),
    [
        *((r"Ma\u0000ria", "Ma\ufffdria"), (r"\u001bMaria\u007f", "\ufffdMaria\ufffd"), (r"Ma\tria", "Ma ria")),
        *((r"Maria \ud83d", "Maria \ufffd"), (r"\udc00@lid", "\ufffd@lid")),
    ],
)
def test_control_characters_and_lone_surrogates_of_a_sender_are_replaced(restaurant: Restaurant, sender: str, counterparty: str) -> None:
    body = f'{{"direction": "inbound", "message_id": "m", "counterparty": "{sender}"}}'
    for status in (201, 200):
        response = restaurant.backend.post("/api/v1/messages", content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["conversation"]["counterparty"]) == (status, counterparty)


def test_a_sender_beyond_255_characters_is_kept_up_to_there_and_stays_another_than_every_other(restaurant: Restaurant) -> None:
    senders = ["x" * 256, "x" * 257, "x" * 256 + "y", "é" * 20_000]
    kept = [restaurant.sent("inbound", sender)["conversation"]["counterparty"] for sender in senders]
    assert len(set(kept)) == len(senders)
    assert [len(counterparty) for counterparty in kept] == [255] * len(senders)
    for sender, counterparty in zip(senders, kept, strict=True):
        for again in (sender, counterparty):
            answer = restaurant.sent("outbound", again)
            assert (answer["conversation"]["counterparty"], answer["new_conversation"]) == (counterparty, False)


def test_a_national_number_without_a_region_is_taken_from_a_sender_as_it_is(service: Service) -> None:
    restaurant = Restaurant.new(service, phone_region=None)
    for spelling in ("(415) 555-2671", "415 555 2671"):
        conversation = restaurant.sent("inbound", spelling)["conversation"]
    assert (conversation["counterparty"], conversation["message_count"]) == ("4155552671", 2)
    detail = refused(restaurant.send("outbound", "(415) 555-2671"), 422, "invalid_phone_number")
    assert "phone_region" in detail["message"]


# Messages that come late.


@pytest.mark.parametrize("time", [{"hours": 25}, {"days": 6}, {"days": 34.9}, {"minutes": -4.5}])
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_message_is_counted_at_the_time_when_it_was_sent(restaurant: Restaurant, direction: str, time: dict[str, float]) -> None:
    sent_at = ago(**time)
    answer = restaurant.sent(direction, sent_at=sent_at)
    assert (instant(answer["conversation"]["started_at"]), answer["new_conversation"]) == (sent_at, True)
    (record,) = restaurant.records()
    assert (record["quantity"], instant(record["occurred_at"])) == (1, sent_at)


@pytest.mark.parametrize("time", [{"days": 35.1}, {"minutes": -6}, {"days": 700_000}])
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_message_of_another_time_is_refused_with_the_bounds(restaurant: Restaurant, direction: str, time: dict[str, float]) -> None:
    detail = refused(restaurant.send(direction, sent_at=ago(**time)), 422, "invalid_sent_at")
    assert abs(instant(detail["earliest"]) - ago(days=35)) < timedelta(minutes=1)
    assert abs(instant(detail["latest"]) - ago(minutes=-5)) < timedelta(minutes=1)
    assert restaurant.conversations() == []


def test_a_message_that_comes_a_week_late_falls_into_the_conversation_of_then(restaurant: Restaurant) -> None:
    then = restaurant.sent(sent_at=ago(days=7))["conversation"]
    now = restaurant.sent()["conversation"]
    late = restaurant.sent("outbound", sent_at=ago(days=6, hours=20))
    assert (late["conversation"]["id"], late["conversation"]["message_count"], late["new_conversation"]) == (then["id"], 2, False)
    assert [item["id"] for item in restaurant.conversations()] == [now["id"], then["id"]]
    assert restaurant.used() == 2


def test_overage_of_a_late_conversation_is_measured_against_the_period_in_which_it_took_place(service: Service) -> None:
    restaurant = Restaurant.new(service, limit=1, reset="day")
    yesterday = ago(days=2).replace(hour=12)
    first, second = (restaurant.sent("inbound", guest(number), sent_at=yesterday) for number in (1, 2))
    assert [answer["over_limit"] for answer in (first, second)] == [False, True]
    assert [record["overage"] for record in restaurant.records()] == [0, 1]
    assert first["usage"] == second["usage"] == {"used": 0, "limit": 1, "remaining": 1}
    assert restaurant.sent("outbound", guest(3))["over_limit"] is False


# Corrections.


def test_a_merge_gives_nothing_back_that_was_given_back_before(service: Service) -> None:
    restaurant = Restaurant.new(service, limit=2, reset="never")
    restaurant.sent(sent_at=ago(hours=26))
    restaurant.sent()
    restaurant.gives_back_all()
    merged = restaurant.sent(sent_at=ago(hours=13))
    assert (merged["conversation"]["message_count"], len(restaurant.conversations())) == (3, 1)
    assert merged["usage"] == {"used": 0, "limit": 2, "remaining": 2}
    for number in (1, 2):
        restaurant.sent("outbound", guest(number))
    refused(restaurant.send("outbound", guest(3)), 429, "conversation_quota_exceeded")
    assert (restaurant.used(), restaurant.status()["display"]) == (2, "0/2")
    agrees(restaurant)


def test_a_merge_takes_no_other_conversations_unit(service: Service) -> None:
    restaurant = Restaurant.new(service, limit=3, reset="never")
    restaurant.sent(sent_at=ago(hours=26))
    corrected = restaurant.sent()["conversation"]["id"]
    restaurant.sent("inbound", guest(1))
    restaurant.gives_back(corrected)
    assert restaurant.sent(sent_at=ago(hours=13))["usage"] == {"used": 2, "limit": 3, "remaining": 1}
    assert [record["quantity"] for record in restaurant.records(corrected)] == [1, -1]
    agrees(restaurant)


def test_a_start_that_moves_takes_along_what_is_left_of_its_unit(service: Service) -> None:
    restaurant = Restaurant.new(service, limit=5, reset="day")
    midnight = ago(days=3).replace(hour=0, minute=0, second=0, microsecond=0)
    corrected, other = (
        restaurant.sent("inbound", guest(number), sent_at=midnight + timedelta(hours=1))["conversation"]["id"] for number in (1, 2)
    )
    restaurant.gives_back(corrected)
    for number in (1, 2):
        restaurant.sent("inbound", guest(number), sent_at=midnight - timedelta(hours=1))
    assert [record["quantity"] for record in restaurant.records(corrected)] == [1, -1]
    assert sorted(record["quantity"] for record in restaurant.records(other)) == [-1, 1, 1]
    (moved,) = [record for record in restaurant.records(other) if instant(record["occurred_at"]) < midnight]
    assert (moved["quantity"], moved["reason"]) == (1, "start moved")
    restaurant.gives_back(other)
    agrees(restaurant)


def test_reconcile_repairs_a_lost_return_of_a_merge_and_leaves_what_was_corrected(service: Service) -> None:
    restaurant = Restaurant.new(service, limit=9, reset="never")
    for number in (1, 2):
        restaurant.sent("inbound", guest(number), sent_at=ago(hours=26))
    first, second = (restaurant.sent("inbound", guest(number))["conversation"]["id"] for number in (1, 2))
    restaurant.gives_back(first)
    for number in (1, 2):
        restaurant.sent("inbound", guest(number), sent_at=ago(hours=13))
    agrees(restaurant)
    service.database.rows("DELETE FROM usage_record WHERE customer_id = $1 AND reason = 'merged'", restaurant.id)
    assert reconcile(restaurant, "--repair") == 1
    agrees(restaurant)
    assert [sum(record["quantity"] for record in restaurant.records(id)) for id in (first, second)] == [0, 0]
    assert restaurant.used() == 2


def reconcile(restaurant: Restaurant, *arguments: str) -> int:
    return tollgate("reconcile", "--customer", restaurant.id, *arguments, database_url=restaurant.service.database.url).returncode


def agrees(restaurant: Restaurant) -> None:
    """No record stands below zero, counter and ledger are the same, and reconciliation finds nothing."""
    assert all(total >= 0 for _, total in restaurant.totals())
    restaurant.used()
    assert reconcile(restaurant) == 0


# One message id is one message.


def test_the_same_message_in_another_spelling_at_another_time_is_a_repeat(restaurant: Restaurant) -> None:
    first = restaurant.sent("inbound", "+5215512345678", "m")
    for counterparty in ("+525512345678", "5215512345678@s.whatsapp.net"):
        again = restaurant.send("inbound", counterparty, "m", sent_at=ago(days=400), channel="queued")
        assert (again.status_code, again.json()) == (200, first)
    assert restaurant.conversations()[0]["message_count"] == 1


def test_a_message_that_was_counted_when_fewer_forms_of_a_number_were_known_to_be_one_is_a_repeat(restaurant: Restaurant) -> None:
    """Its platform sends it again, and the release that counted it has been replaced meanwhile."""
    restaurant.sent("inbound", "+554187654321", "m")
    restaurant.service.database.rows("UPDATE message SET counterparty = '+554187654321' WHERE customer_id = $1", restaurant.id)
    for counterparty in ("+554187654321", "+5541987654321"):
        assert restaurant.send("inbound", counterparty, "m").status_code == 200
    refused(restaurant.send("inbound", "+5541987654322", "m"), 409, "message_conflict")


@pytest.mark.parametrize(
    ("direction", "counterparty"), [("inbound", guest(9)), ("outbound", GUEST), ("inbound", "12345@lid"), ("outbound", "12345")]
)
def test_another_message_under_the_same_id_is_a_conflict_and_is_not_taken_for_the_first(
    restaurant: Restaurant, direction: str, counterparty: str
) -> None:
    first = restaurant.sent("inbound", GUEST, "m")
    detail = refused(restaurant.send(direction, counterparty, "m"), 409, "message_conflict")
    facts = {name: detail[name] for name in ("message_id", "direction", "counterparty", "conversation_id")}
    assert facts == {"message_id": "m", "direction": "inbound", "counterparty": GUEST, "conversation_id": first["conversation"]["id"]}
    assert restaurant.conversations()[0]["message_count"] == restaurant.used() == 1
    assert restaurant.send("inbound", GUEST, "m").status_code == 200


# One counterparty's conversations.


def test_a_counterpartys_conversations_are_found_by_any_spelling(service: Service) -> None:
    restaurant = Restaurant.new(service, limit=None)
    for counterparty in (GUEST, "+5215512345678", BUSINESS_SCOPED, "12345", "x" * 300, ""):
        restaurant.sent("inbound", counterparty)
    spellings = {
        GUEST: [GUEST, "(415) 555-2671", "14155552671", "whatsapp:+14155552671"],
        "+525512345678": ["+525512345678", "5215512345678", "+52 1 55 1234 5678", "5215512345678@c.us"],
        BUSINESS_SCOPED: [BUSINESS_SCOPED],
        "12345": ["12345"],
        "unknown": ["", "unknown"],
    }
    for counterparty, asked in spellings.items():
        for spelling in asked:
            found = restaurant.conversations(f"counterparty={quote(spelling, safe='')}")
            assert [item["counterparty"] for item in found] == [counterparty], spelling
    assert [len(item["counterparty"]) for item in restaurant.conversations(f"counterparty={'x' * 300}")] == [255]
    assert restaurant.conversations(f"counterparty={quote(guest(9), safe='')}") == []


def test_a_plus_that_was_not_escaped_in_the_address_is_understood(restaurant: Restaurant) -> None:
    restaurant.sent("inbound", "+436601234567")
    assert len(restaurant.conversations("counterparty=+436601234567")) == 1


def test_a_counterpartys_conversations_are_listed_by_whether_they_are_open_in_pages(service: Service) -> None:
    restaurant = Restaurant.new(service, limit=None, window={"length_seconds": 3600})
    starts = {hours: ago(hours=hours - 0.5) for hours in (1, 3, 6, 9)}
    for sent_at in starts.values():
        for counterparty in (guest(1), guest(2)):
            restaurant.sent("inbound", counterparty, sent_at=sent_at)

    def listed(query: str) -> list[tuple[str, datetime]]:
        items = restaurant.conversations(f"counterparty=%2B14155550001&{query}")
        return [(item["counterparty"], instant(item["started_at"])) for item in items]

    assert listed("active=true") == [(guest(1), starts[1])]
    assert listed("active=false") == [(guest(1), starts[hours]) for hours in (3, 6, 9)]
    assert listed("") == [(guest(1), starts[hours]) for hours in (1, 3, 6, 9)]
    assert pages(restaurant, "counterparty=%2B14155550001&limit=1") == [[starts[hours]] for hours in (1, 3, 6, 9)]
    assert pages(restaurant, "counterparty=%2B14155550001&active=false&limit=2") == [[starts[3], starts[6]], [starts[9]]]


def pages(restaurant: Restaurant, query: str) -> list[list[datetime]]:
    found, cursor = [], ""
    while cursor is not None:
        page: dict[str, Any] = restaurant.client.get(f"/api/v1/conversations?{query}{cursor and f'&cursor={cursor}'}").json()
        found.append([instant(item["started_at"]) for item in page["items"]])
        cursor = page["next_cursor"]
    return found


def test_another_customers_conversations_with_the_same_counterparty_are_not_found(service: Service, restaurant: Restaurant) -> None:
    restaurant.sent("inbound", GUEST)
    assert Restaurant.new(service).conversations("counterparty=%2B14155552671") == []


# Windows that only inbound messages extend.


@pytest.mark.parametrize(("extends", "extended"), [("inbound", ["inbound"]), ("any", ["inbound", "outbound"])])
def test_the_plan_says_which_messages_move_the_end_of_the_window(service: Service, extends: str, extended: list[str]) -> None:
    restaurant = Restaurant.new(service, 1, {"extends": extends}, reset="never")
    for counterparty, direction in ((guest(1), "inbound"), (guest(2), "outbound")):
        opened = restaurant.sent("inbound", counterparty, sent_at=ago(hours=23))["conversation"]
        end = instant(restaurant.sent(direction, counterparty)["conversation"]["expires_at"])
        assert (end > instant(opened["expires_at"])) is (direction in extended)
    if extends == "inbound":  # the end has not moved: an hour later the restaurant may not write first any more
        answer = restaurant.send("outbound", guest(2), sent_at=instant(opened["expires_at"]) - timedelta(hours=1))
        assert answer.json()["conversation"]["expires_at"] == opened["expires_at"]
