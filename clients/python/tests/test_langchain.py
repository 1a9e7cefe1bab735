"""LangChain itself, with its own fake models: held before a call, committed after it, given back where it fails."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult

from tests_support.fake_service import FakeService
from tollgate_client import LimitExceeded
from tollgate_client.ai.langchain import AsyncTollgateHandler, TollgateHandler
from tollgate_client.ai.metering import Metering

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]


class FailingModel(GenericFakeChatModel):
    def _generate(self, messages: list[BaseMessage], *arguments: Any, **more: Any) -> ChatResult:
        raise RuntimeError("the model is down")


def model(kind: type[GenericFakeChatModel] = GenericFakeChatModel) -> GenericFakeChatModel:
    def messages() -> Iterator[AIMessage]:
        while True:
            yield AIMessage(
                "hello",
                usage_metadata={"input_tokens": 1_000, "output_tokens": 500, "total_tokens": 1_500},
                response_metadata={"model_name": "gpt-4o", "model_provider": "openai"},
            )

    return kind(messages=messages())


@pytest.fixture
def limits(service: FakeService) -> FakeService:
    service.limits |= {"ai_cost": 1, "tokens": 10_000}
    return service


def test_what_a_call_used_is_booked(limits: FakeService) -> None:
    with limits.client() as client:
        handler = TollgateHandler(client, "acme", Metering())
        model().invoke("hi", config={"callbacks": [handler], "tags": ["search", "beta"]})
    assert limits.used == {"tokens": 1_500, "ai_cost": 0.0075}
    assert {item["dimension"] for item in limits.sent("/commit")[0]["usage"]} == {"beta,search"}
    assert limits.held("tokens") == 0


def test_where_the_model_does_not_say_what_it_used_what_was_held_is_booked(limits: FakeService) -> None:
    with limits.client() as client:
        silent = GenericFakeChatModel(messages=iter(["hello there"]))
        for _ in silent.stream("hi", config={"callbacks": [TollgateHandler(client, "acme")]}):
            assert limits.held("tokens") == 4_000
    assert limits.used == {"tokens": 4_000, "ai_cost": 0.05}


def test_what_a_failed_call_held_is_given_back(limits: FakeService) -> None:
    with limits.client() as client, pytest.raises(RuntimeError, match="the model is down"):
        model(FailingModel).invoke("hi", config={"callbacks": [TollgateHandler(client, "acme")]})
    assert (limits.used, limits.held("tokens")) == ({}, 0)


def test_what_does_not_fit_is_refused_before_the_call(limits: FakeService) -> None:
    limits.limits["tokens"] = 100
    with limits.client() as client, pytest.raises(LimitExceeded):
        model(FailingModel).invoke("hi", config={"callbacks": [TollgateHandler(client, "acme")]})


async def test_asynchronous_calls_are_metered_too(limits: FakeService) -> None:
    async with limits.async_client() as client:
        handler = AsyncTollgateHandler(client, "acme")
        await model().ainvoke("hi", config={"callbacks": [handler]})
        assert limits.used == {"tokens": 1_500, "ai_cost": 0.0075}
        limits.limits["tokens"] = 100
        with pytest.raises(LimitExceeded):
            await model().ainvoke("hi", config={"callbacks": [handler]})
