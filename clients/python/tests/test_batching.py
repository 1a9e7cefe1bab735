"""Concurrent decisions share requests, and each gets its own outcome."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests_support.fake_service import FakeService, unavailable
from tollgate_client import AsyncTollgate, LimitExceeded, Unavailable

pytestmark = pytest.mark.anyio


async def test_concurrent_decisions_share_requests(service: FakeService) -> None:
    async with service.async_client() as client:
        found = await asyncio.gather(*[client.consume("acme", api_calls=1) for _ in range(50)])
    assert service.used == {"api_calls": 50}
    assert len(service.requests) < 10
    assert sorted(int(answer.balances["api_calls"].used) for answer in found) == list(range(1, 51))


async def test_each_gets_its_own_outcome(service: FakeService) -> None:
    async with service.async_client() as client:
        found = await asyncio.gather(*[client.consume("acme", api_calls=30) for _ in range(5)], return_exceptions=True)
    assert sum(isinstance(outcome, LimitExceeded) for outcome in found) == 2
    assert service.used == {"api_calls": 90}


async def test_more_than_a_batch_takes_several(service: FakeService) -> None:
    service.limits["api_calls"] = None
    async with service.async_client() as client:
        await asyncio.gather(*[client.consume("acme", api_calls=1) for _ in range(2_500)])
    assert service.used == {"api_calls": 2_500}
    assert max(len(body["items"]) for body in service.sent("/usage/batch")) == 1_000


async def test_a_failure_is_everybodys(service: FakeService) -> None:
    service.failures = [unavailable() for _ in range(1_000)]
    async with service.async_client(timeout=0.2) as client:
        found = await asyncio.gather(*[client.consume("acme", api_calls=1) for _ in range(5)], return_exceptions=True)
        service.failures = []
    assert {type(outcome) for outcome in found} == {Unavailable}


async def test_who_goes_away_while_it_sends_for_others_leaves_them_served(service: FakeService) -> None:
    client = service.async_client()
    sending = asyncio.Event()

    class Slow(AsyncTollgate):
        async def _send_batch(self, items: list[dict[str, object]]) -> list[dict[str, object]]:
            if not sending.is_set():
                sending.set()
                await asyncio.sleep(60)
            return await super()._send_batch(items)

    slow = Slow("http://service", "tg_key", transport=client._http._transport)
    leader = asyncio.create_task(slow.consume("acme", api_calls=1))
    await sending.wait()
    others = [asyncio.create_task(slow.consume("acme", api_calls=1)) for _ in range(3)]
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.gather(*others)
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert service.used == {"api_calls": 3}
    await slow.close()


def test_threads_share_requests(service: FakeService) -> None:
    with service.client() as client, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: client.consume("acme", api_calls=1), range(100)))
        with pytest.raises(LimitExceeded):
            client.consume("acme", api_calls=1)
    assert service.used == {"api_calls": 100}
