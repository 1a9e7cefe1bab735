"""LiteLLM itself, with its own mock answers: held before a call, committed after it, given back where it fails."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would fetch a newer one from the network
litellm = pytest.importorskip("litellm")

from tests_support.fake_service import FakeService
from tollgate_client import Invalid, LimitExceeded
from tollgate_client.ai.litellm import TollgateCallback
from tollgate_client.ai.metering import Metering

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]

ASKED: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "api_key": "none"}


@pytest.fixture(scope="module")
async def callback() -> AsyncIterator[TollgateCallback]:
    """One for all tests: LiteLLM keeps the first callback of a class, and its worker stays in the event loop in which it began."""
    made = TollgateCallback(FakeService().async_client(timeout=1), Metering(hold_tokens=4_000, hold_cost="0.05"))
    litellm.callbacks = [made]
    yield made
    litellm.callbacks = []


@pytest.fixture
def service(callback: TollgateCallback) -> FakeService:
    """A new service behind it for each test."""
    made = FakeService()
    made.limits |= {"ai_cost": 1, "tokens": 10_000}
    callback._client = made.async_client(timeout=1)
    return made


async def settled(service: FakeService) -> None:
    """LiteLLM calls back after the answer, in tasks of its own."""
    for _ in range(500):
        await asyncio.sleep(0.02)
        if service.holds and all(hold["state"] != "held" for hold in service.holds.values()):
            return


async def test_what_a_call_used_is_booked(service: FakeService) -> None:
    metadata = {"tollgate_customer": "acme", "tags": ["search", "beta"]}
    answer = await litellm.acompletion(**ASKED, metadata=metadata, mock_response="hello yourself")
    await settled(service)
    assert service.used["tokens"] == answer.usage.total_tokens
    assert 0 < service.used["ai_cost"] < 0.05
    assert {item["dimension"] for item in service.sent("/commit")[0]["usage"]} == {"beta,search"}


async def test_what_a_stream_used_is_booked_at_its_end(service: FakeService) -> None:
    stream = await litellm.acompletion(**ASKED, user="acme", mock_response="hello yourself, and more", stream=True)
    assert service.held("tokens") == 4_000
    async for _ in stream:
        pass
    await settled(service)
    assert 0 < service.used["tokens"] < 4_000


async def test_what_a_failed_call_held_is_given_back(service: FakeService) -> None:
    with pytest.raises(litellm.exceptions.InternalServerError):
        await litellm.acompletion(**ASKED, user="acme", mock_response="litellm.InternalServerError", num_retries=0)
    await settled(service)
    assert service.used == {}
    assert service.held("tokens") == 0


async def test_what_does_not_fit_is_refused_before_the_call(service: FakeService) -> None:
    service.limits["tokens"] = 100
    with pytest.raises(LimitExceeded):
        await litellm.acompletion(**ASKED, user="acme", mock_response="never sent")


async def test_a_call_of_nobody_is_refused(service: FakeService) -> None:
    with pytest.raises(Invalid, match="tollgate_customer"):
        await litellm.acompletion(**ASKED, mock_response="never sent")
