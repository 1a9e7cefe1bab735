"""Decisions from a chunk at hand: never over the limit, and given back at the end."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from tests_support.fake_service import FakeService
from tollgate_client import Lease, LimitExceeded, Tollgate

pytestmark = pytest.mark.anyio


def taken(lease: Lease) -> int:
    """Takes one after the other until it is refused."""
    count = 0
    try:
        while True:
            lease.take()
            count += 1
    except LimitExceeded:
        return count


@contextmanager
def leasing(service: FakeService, chunk: int = 30, ttl_seconds: int = 30, durable: bool = False) -> Iterator[tuple[Tollgate, Lease]]:
    with service.client() as client, client.lease("acme", "api_calls", chunk=chunk, ttl_seconds=ttl_seconds, durable=durable) as lease:
        yield client, lease


def test_all_of_the_limit_is_given_out_and_no_more(service: FakeService) -> None:
    with leasing(service) as (_, lease):
        assert taken(lease) == 100
    assert (service.used, service.held("api_calls")) == ({"api_calls": 100}, 0)


def test_what_is_left_is_given_back(service: FakeService) -> None:
    with leasing(service) as (_, lease):
        lease.take(7)
        assert service.held("api_calls") == 30
    assert (service.used, service.held("api_calls")) == ({"api_calls": 7}, 0)


def test_most_decisions_ask_nobody(service: FakeService) -> None:
    service.limits["api_calls"] = None
    with leasing(service, chunk=1_000) as (_, lease):
        for _ in range(10_000):
            lease.take()
    assert service.used == {"api_calls": 10_000}
    assert len(service.requests) < 60


def test_several_leases_share_the_limit(service: FakeService) -> None:
    with (
        service.client() as client,
        client.lease("acme", "api_calls", chunk=30) as one,
        client.lease("acme", "api_calls", chunk=30) as other,
    ):
        total = 0
        for _ in range(50):
            for lease in (one, other):
                try:
                    lease.take()
                    total += 1
                except LimitExceeded:
                    pass
    assert total <= 100
    assert service.used == {"api_calls": total}


def test_threads_take_no_unit_twice(service: FakeService) -> None:
    with leasing(service, chunk=7) as (_, lease), ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: taken(lease), range(8))) == 100
    assert service.used == {"api_calls": 100}


async def test_tasks_take_no_unit_twice(service: FakeService) -> None:
    async def one(lease: object) -> int:
        count = 0
        try:
            while True:
                await lease.take()  # type: ignore[attr-defined]
                count += 1
        except LimitExceeded:
            return count

    async with service.async_client() as client, client.lease("acme", "api_calls", chunk=7) as lease:
        assert sum(await asyncio.gather(*[one(lease) for _ in range(8)])) == 100
    assert service.used == {"api_calls": 100}


def test_a_chunk_whose_hold_may_have_ended_is_not_given_out(service: FakeService) -> None:
    with leasing(service, ttl_seconds=5) as (_, lease):
        lease.take()
        lease._current.usable_until = time.monotonic()
        assert not lease.try_take()
        lease.take()
    assert service.used == {"api_calls": 2}


def test_a_chunk_is_used_shorter_than_it_is_held(service: FakeService) -> None:
    began = time.monotonic()
    with leasing(service, ttl_seconds=20) as (_, lease):
        lease.take()
        assert lease._current.usable_until <= began + 20 - 0.9
        (hold,) = [hold for hold in service.holds.values() if hold["state"] == "held"]
        assert lease._current.usable_until < hold["ends"]


def test_a_quantity_above_a_chunk_is_taken_whole(service: FakeService) -> None:
    with leasing(service, chunk=10) as (_, lease):
        lease.take(80)
        with pytest.raises(LimitExceeded):
            lease.take(21)
        lease.take(20)
    assert service.used == {"api_calls": 100}


def test_a_commit_that_fails_is_tried_again_at_the_end(service: FakeService) -> None:
    with service.client(timeout=0.1) as client, client.lease("acme", "api_calls", chunk=10) as lease:
        lease.take(10)
        deadline = time.monotonic() + 10
        while lease._next is None and time.monotonic() < deadline:
            time.sleep(0.01)
        service.failures = [httpx.ConnectError("down") for _ in range(1_000)]
        lease.take(1)
        assert service.used == {}
        service.failures = []
    assert (service.used, service.held("api_calls")) == ({"api_calls": 11}, 0)


def test_a_durable_lease_is_booked_first_and_corrected_down(service: FakeService) -> None:
    with leasing(service, durable=True) as (_, lease):
        lease.take(7)
        assert service.used == {"api_calls": 30}
    assert service.used == {"api_calls": 7}
    assert service.holds == {}


@pytest.mark.parametrize("quantity", [0, -1])
def test_less_than_a_unit_is_not_taken(service: FakeService, quantity: int) -> None:
    with leasing(service) as (_, lease), pytest.raises(ValueError, match="at least one unit"):
        lease.take(quantity)
