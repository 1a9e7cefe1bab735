"""Every answer carries its request's id."""

from typing import Any

import pytest
from starlette.types import Message

from api.frame.stamp import request_id_of, stamped
from api.served import Served


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "headers": list(headers)}


@pytest.mark.parametrize("given", [b"order-17", b"x" * 128, b"!~"])
def test_a_callers_id_is_taken(given: bytes) -> None:
    assert request_id_of(scope((b"accept", b"*/*"), (b"x-request-id", given))) == given


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"two words", b"tab\t", b"\xc3\xa9"])
def test_what_is_no_id_is_replaced(given: bytes) -> None:
    assert request_id_of(scope((b"x-request-id", given))) != given


def test_no_two_requests_have_the_same_and_one_keeps_its_own() -> None:
    found = [scope() for _ in range(1_000)]
    ids = [request_id_of(one) for one in found]
    assert len(set(ids)) == 1_000
    assert [request_id_of(one) for one in found] == ids


async def test_it_is_added_to_the_start_of_an_answer_and_to_nothing_else() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    one = Served("order-17", "GET")
    stamp = stamped(scope((b"x-request-id", b"order-17")), send, one)
    await stamp({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await stamp({"type": "http.response.body", "body": b"{}"})
    expected = [
        (b"content-length", b"2"),
        (b"x-request-id", b"order-17"),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]
    assert sent[0]["headers"] == expected
    assert sent[1] == {"type": "http.response.body", "body": b"{}"}
