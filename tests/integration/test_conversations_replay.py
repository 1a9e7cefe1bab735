"""A recorded day, over three processes, comes to what a plain reading of the sorted day comes to."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from core.conversations.window import Window
from core.plans.periods import Billing, Interval, Reset
from tests.integration.data.record_day import GUESTS, MESSAGES, REPEATED, day, recorded
from tests.integration.restaurants import Restaurant
from tests.integration.service import ADMIN_KEY, Service, serving
from tests.unit.fakes.conversations_in_order import Span, conversations_in_order

CONNECTIONS = 16
LENGTH = timedelta(hours=2)


@pytest.fixture
def three_services(database_url: str) -> Iterator[list[Service]]:
    with serving(database_url, processes=3) as services:
        yield services


async def send_all(messages: list[dict[str, Any]], services: list[Service], restaurant: Restaurant) -> list[tuple[int, dict[str, Any]]]:
    """What each was answered. Every process takes the next message that nobody has taken, over several connections."""
    answers: list[tuple[int, dict[str, Any]]] = []
    waiting = iter(messages)

    async def connection(service: Service) -> None:
        url = httpx.URL(service.address)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        caller = f"Authorization: Bearer {ADMIN_KEY}\r\nTollgate-Customer: {restaurant.id}\r\n"
        head = f"POST /api/v1/messages HTTP/1.1\r\nHost: tollgate\r\n{caller}"
        for message in waiting:
            body = json.dumps(message)
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            answered = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(answered.partition("content-length:")[2].split()[0])
            answers.append((int(answered.split()[1]), json.loads(await reader.readexactly(length))))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*[connection(service) for service in services for _ in range(CONNECTIONS)])
    return answers


def expected_of(messages: list[dict[str, Any]]) -> dict[str, list[Span]]:
    """By counterparty, what the sorted day comes to."""
    sent: dict[str, dict[str, datetime]] = {}
    for message in messages:
        digits = "".join(character for character in message["counterparty"] if character.isdigit())
        guest = f"+1{digits.removeprefix('1')}"
        sent.setdefault(guest, {})[message["message_id"]] = datetime.fromisoformat(message["sent_at"])
    return {guest: conversations_in_order(instants.values(), Window(LENGTH)) for guest, instants in sent.items()}


def found_of(restaurant: Restaurant) -> dict[str, list[Span]]:
    """By counterparty, what the service says."""
    found: dict[str, list[Span]] = {}
    cursor = ""
    while cursor is not None:
        page = restaurant.client.get(f"/api/v1/conversations?limit=200{cursor and f'&cursor={cursor}'}").json()
        for item in page["items"]:
            span = Span(datetime.fromisoformat(item["started_at"]), datetime.fromisoformat(item["expires_at"]), item["message_count"])
            found.setdefault(item["counterparty"], []).append(span)
        cursor = page["next_cursor"]
    return {guest: sorted(spans) for guest, spans in found.items()}


def test_the_recorded_day_is_what_its_program_records() -> None:
    lines = recorded()
    assert lines == day()
    assert len(lines) == MESSAGES + REPEATED
    assert len({json.loads(line)["message_id"] for line in lines}) == MESSAGES


def test_a_recorded_day_over_three_processes_comes_to_what_the_sorted_day_comes_to(three_services: list[Service]) -> None:
    restaurant = Restaurant.new(three_services[0], limit=None, window={"length_seconds": int(LENGTH.total_seconds())})
    end = datetime.now(UTC)  # noqa: TID251 - the services under test read the same clock
    messages = [json.loads(line) for line in recorded()]
    for message in messages:
        message["sent_at"] = (end + timedelta(seconds=message.pop("seconds"))).isoformat()
    answers = asyncio.run(send_all(messages, three_services, restaurant))
    assert Counter(status for status, _ in answers) == {201: MESSAGES, 200: REPEATED}

    expected = expected_of(messages)
    assert len(expected) == GUESTS
    assert found_of(restaurant) == expected
    starts = [span.started_at for spans in expected.values() for span in spans]
    database = three_services[0].database
    booked = "SELECT coalesce(sum(quantity), 0)::int FROM usage_record WHERE customer_id = $1 AND occurred_at >= $2 AND occurred_at < $3"
    calendar = Billing(None, Interval.MONTH, ZoneInfo("UTC"))
    for month in {calendar.period(Reset.MONTH, start) for start in starts}:
        assert database.value(booked, restaurant.id, month.start, month.end) == sum(start in month for start in starts)
    # More were opened than there are: late messages have made some of them one.
    opened = sum(body["new_conversation"] for status, body in answers if status == 201)
    merged = database.value("SELECT count(*) FROM conversation WHERE merged_into IS NOT NULL")
    assert opened - merged == len(starts)
    restaurant.used()
