"""A hold is committed, or given back, whatever happens in its body."""

import time

import httpx
import pytest
from tests_support.fake_service import FakeService
from tollgate_client import Closed, Conflict, LimitExceeded

pytestmark = pytest.mark.anyio


async def test_what_was_used_is_committed(service: FakeService) -> None:
    async with service.async_client() as client, client.hold("acme", api_calls=10) as hold:
        assert service.held("api_calls") == 10
        hold.used(api_calls=4)
    assert (service.used, service.held("api_calls")) == ({"api_calls": 4}, 0)


def test_without_a_word_what_was_held_is_committed(service: FakeService) -> None:
    with service.client() as client, client.hold("acme", api_calls=10):
        pass
    assert service.used == {"api_calls": 10}


def test_a_body_that_fails_gives_it_back(service: FakeService) -> None:
    with service.client() as client, pytest.raises(ZeroDivisionError), client.hold("acme", api_calls=10):
        raise ZeroDivisionError
    assert (service.used, service.held("api_calls")) == ({}, 0)


def test_what_was_used_before_a_failure_is_booked(service: FakeService) -> None:
    with service.client() as client, pytest.raises(ZeroDivisionError), client.hold("acme", api_calls=10) as hold:
        hold.used(api_calls=3)
        raise ZeroDivisionError
    assert service.used == {"api_calls": 3}


def test_what_does_not_fit_is_refused_before_the_body_runs(service: FakeService) -> None:
    ran = False
    with service.client() as client, pytest.raises(LimitExceeded), client.hold("acme", api_calls=101):
        ran = True
    assert not ran


def test_several_features_are_held_together(service: FakeService) -> None:
    with service.client() as client, client.hold("acme", {"tokens": 4_000}, api_calls=1) as hold:
        hold.used(tokens=3_100)
        hold.used(api_calls=1, dimension="gpt")
    assert service.used == {"tokens": 3_100, "api_calls": 1}
    assert {item["dimension"] for item in service.sent("/commit")[0]["usage"]} == {"gpt"}


async def test_it_is_extended_while_the_body_runs(service: FakeService) -> None:
    import asyncio

    async with service.async_client() as client, client.hold("acme", api_calls=1, ttl_seconds=1):
        await asyncio.sleep(1.7)
        assert service.held("api_calls") == 1
    assert len(service.sent("/extend")) >= 2


def test_it_is_extended_beside_a_thread_too(service: FakeService) -> None:
    with service.client() as client, client.hold("acme", api_calls=1, ttl_seconds=1):
        time.sleep(1.7)
        assert service.held("api_calls") == 1
    assert len(service.sent("/extend")) >= 2


def test_after_its_end_nothing_extends_it(service: FakeService) -> None:
    with service.client() as client:
        with client.hold("acme", api_calls=1, ttl_seconds=1):
            pass
        time.sleep(0.8)
    assert service.sent("/extend") == []


def test_a_commit_that_fails_is_told(service: FakeService) -> None:
    with service.client() as client, pytest.raises(Conflict), client.hold("acme", api_calls=1) as hold:
        assert hold.reservation is not None
        service.holds[str(hold.reservation.id)]["state"] = "released"


def test_the_bodys_own_error_is_the_one_that_is_raised(service: FakeService) -> None:
    with service.client(timeout=0.1) as client, pytest.raises(ZeroDivisionError), client.hold("acme", api_calls=1):
        service.failures = [httpx.ConnectError("down") for _ in range(1_000)]
        raise ZeroDivisionError


def test_a_hold_is_entered_once(service: FakeService) -> None:
    with service.client() as client:
        hold = client.hold("acme", api_calls=1)
        with hold:
            pass
        with pytest.raises(Closed), hold:
            pass
