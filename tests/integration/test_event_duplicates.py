"""An event is booked once, ever: however often it is sent, at the same moment or later, to whichever process."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from tests.integration.coaching import Customer, at_once, days_ago
from tests.integration.service import Service

BATCH = {"Content-Type": "application/cloudevents-batch+json"}
SINGLE = {"Content-Type": "application/cloudevents+json"}


def event(customer: Customer, id: str, type: str = "sessions", **attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "source": "meter", "type": type, "subject": customer.id} | attributes


def send(service: Service, *events: dict[str, Any]) -> tuple[int, int]:
    """How many were accepted and how many were duplicates."""
    answer: httpx.Response = service.admin.post("/api/v1/events", json=events, headers=BATCH)
    assert answer.status_code == 200, answer.text
    assert answer.json()["rejected"] == [], answer.text
    return answer.json()["accepted"], answer.json()["duplicates"]


@pytest.fixture
def customer(services: tuple[Service, Service]) -> Customer:
    return Customer.new(services[0])


def test_the_same_event_sent_50_times_at_once_over_two_processes_counts_once(customer: Customer, services: tuple[Service, Service]) -> None:
    answers = at_once(*[partial(send, service, event(customer, "e")) for service in services] * 25)
    assert sorted(answers) == [(0, 1)] * 49 + [(1, 0)]
    assert customer.used("sessions") == 1


def test_the_same_event_sent_50_times_at_once_as_usage_of_two_features_counts_once(
    customer: Customer, services: tuple[Service, Service]
) -> None:
    """Of one feature to one process and of the other to the other, so that the two have no lock in common."""
    for n in range(5):
        sent = [(service, event(customer, f"e{n}", type)) for service, type in zip(services, ("sessions", "minutes"), strict=True)]
        assert sorted(at_once(*[partial(send, *one) for one in sent] * 5)) == [(0, 1)] * 9 + [(1, 0)]
    assert customer.service.database.value("SELECT count(*) FROM usage_record WHERE customer_id = $1", customer.id) == 5


def test_overlapping_batches_at_once_count_every_event_once(customer: Customer, services: tuple[Service, Service]) -> None:
    events = [event(customer, f"e{n}", ("sessions", "minutes")[n % 2], data={"quantity": 1}) for n in range(60)]
    batches = [events[start : start + 30] for start in (0, 10, 20, 30)] + [events[::-1], events[::2]]
    answers = at_once(*[partial(send, services[n % 2], *batch) for n, batch in enumerate(batches * 3)])
    assert sum(accepted for accepted, _ in answers) == 60
    assert (customer.used("sessions"), customer.used("minutes")) == (30, 30 * 60)


def test_an_event_that_comes_again_later_is_known_whatever_else_it_says(customer: Customer, services: tuple[Service, Service]) -> None:
    one, other = services
    assert send(one, event(customer, "e")) == (1, 0)
    again = event(customer, "e", "minutes", data={"quantity": 7}, time=days_ago(20).isoformat())
    assert send(other, again, event(customer, "e")) == (0, 2)
    assert send(other, event(customer, "e") | {"source": "another meter"}) == (1, 0)
    assert customer.used("sessions") == 2


def test_single_events_and_batches_share_what_they_know(customer: Customer, services: tuple[Service, Service]) -> None:
    def single() -> int:
        answer = services[0].admin.post("/api/v1/events", json=event(customer, "e"), headers=SINGLE)
        assert answer.status_code == 200, answer.text
        accepted: int = answer.json()["accepted"]
        return accepted

    with ThreadPoolExecutor(2) as pool:
        alone, together = pool.submit(single), pool.submit(send, services[1], event(customer, "e"), event(customer, "e"))
        assert alone.result() + together.result()[0] == 1
    assert customer.used("sessions") == 1
