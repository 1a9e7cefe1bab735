"""First messages at once: one conversation, one unit, every message counted, and no error to a caller."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.integration.coaching import at_once
from tests.integration.restaurants import GUEST, Restaurant, guest
from tests.integration.service import Service, tollgate


@pytest.mark.parametrize("directions", [["inbound"], ["outbound"], ["inbound", "outbound"]], ids="+".join)
def test_100_first_messages_at_once_over_two_processes_are_one_conversation(
    services: tuple[Service, Service], directions: list[str]
) -> None:
    restaurant = Restaurant.new(services[0])
    at = [restaurant.at(service) for service in services]
    responses = at_once(*[partial(at[n % 2].send, directions[n % len(directions)]) for n in range(100)])
    assert Counter(response.status_code for response in responses) == {201: 100}
    answers = [response.json() for response in responses]
    assert sorted(answer["conversation"]["message_count"] for answer in answers) == list(range(1, 101))
    assert sum(answer["new_conversation"] for answer in answers) == 1
    (conversation,) = restaurant.conversations()
    assert conversation["message_count"] == 100
    assert restaurant.used() == 1


def test_the_same_message_64_times_at_once_over_two_processes_is_counted_once(services: tuple[Service, Service]) -> None:
    restaurant = Restaurant.new(services[0])
    at = [restaurant.at(service) for service in services]
    responses = at_once(*[partial(at[n % 2].send, message_id="m") for n in range(64)])
    assert Counter(response.status_code for response in responses) == {201: 1, 200: 63}
    assert len({response.text for response in responses}) == 1
    assert (restaurant.conversations()[0]["message_count"], restaurant.used()) == (1, 1)


def test_outbound_to_many_at_once_over_two_processes_takes_what_is_left_and_no_more(services: tuple[Service, Service]) -> None:
    restaurant = Restaurant.new(services[0], limit=10)
    at = [restaurant.at(service) for service in services]
    responses = at_once(*[partial(at[n % 2].send, "outbound", guest(n % 32)) for n in range(64)])
    conversations = restaurant.conversations()
    assert len(conversations) == restaurant.used() == 10
    counts = Counter(response.status_code for response in responses)
    assert counts[201] + counts[429] == 64
    assert counts[201] == sum(conversation["message_count"] for conversation in conversations)


def test_inbound_from_many_at_once_loses_none(services: tuple[Service, Service]) -> None:
    restaurant = Restaurant.new(services[0], limit=10)
    at = [restaurant.at(service) for service in services]
    responses = at_once(*[partial(at[n % 2].send, "inbound", guest(n % 32)) for n in range(96)])
    assert Counter(response.status_code for response in responses) == {201: 96}
    assert sum(response.json()["over_limit"] for response in responses) == 22
    assert [conversation["message_count"] for conversation in restaurant.conversations()] == [3] * 32
    assert restaurant.used() == 32


def test_corrections_at_once_with_messages_that_merge_conversations_give_each_unit_back_once(services: tuple[Service, Service]) -> None:
    """A merge and a correction are after the same unit: the one that comes second finds nothing left of it."""
    guests, now = 12, datetime.now(UTC)  # noqa: TID251 - the services under test read the same clock
    restaurant = Restaurant.new(services[0], limit=None, reset="never")
    at = [restaurant.at(service) for service in services]
    for number in range(guests):
        restaurant.sent("inbound", guest(number), sent_at=now - timedelta(hours=26))
        restaurant.sent("inbound", guest(number), sent_at=now)
    records = [record["id"] for record in restaurant.records()]
    merging = [partial(at[n % 2].send, "inbound", guest(n % guests), sent_at=now - timedelta(hours=13)) for n in range(2 * guests)]
    correcting = [partial(at[n % 2].correct, id) for n, id in enumerate(records)]
    responses = at_once(*(call for pair in zip(merging, correcting, strict=True) for call in pair))
    messages, corrections = responses[::2], responses[1::2]
    assert {response.status_code for response in messages} == {201}
    assert {response.status_code for response in corrections} <= {201, 422}
    assert [conversation["message_count"] for conversation in restaurant.conversations()] == [4] * guests
    assert {total for _, total in restaurant.totals()} == {0}, "each unit was given back, by whichever came first"
    assert restaurant.used() == 0
    assert tollgate("reconcile", "--customer", restaurant.id, database_url=services[0].database.url).returncode == 0


def test_a_message_is_seen_through_the_other_process_the_moment_it_was_answered(services: tuple[Service, Service]) -> None:
    one, other = services
    restaurant = Restaurant.new(one)
    for count in range(1, 21):
        id = restaurant.at(services[count % 2]).sent("inbound", GUEST)["conversation"]["id"]
        assert restaurant.at(services[1 - count % 2]).client.get(f"/api/v1/conversations/{id}").json()["message_count"] == count
    assert restaurant.at(other).used() == 1
