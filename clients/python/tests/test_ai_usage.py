"""Answers of the three providers, as their own objects and as dicts, are priced by the day's prices."""

from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("genai_prices")

from tollgate_client.ai import usage_of
from tollgate_client.ai.metering import Metering, dimension_of
from tollgate_client.ai.usage import priced

OPENAI = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [],
    "usage": {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500, "prompt_tokens_details": {"cached_tokens": 200}},
}
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [],
    "model": "claude-sonnet-4-20250514",
    "usage": {"input_tokens": 1_000, "output_tokens": 500, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 0},
}
GOOGLE = {
    "modelVersion": "gemini-2.5-flash",
    "usageMetadata": {"promptTokenCount": 1_000, "candidatesTokenCount": 500, "totalTokenCount": 1_500},
}


@pytest.mark.parametrize(
    ("response", "provider", "tokens", "cost"),
    [
        # 800 at 2.50, 200 cached at 1.25 and 500 at 10 dollars a million
        (OPENAI, "openai", (1_000, 500, 200), "0.00725"),
        # 1,000 at 3, 200 cached at 0.30 and 500 at 15 dollars a million
        (ANTHROPIC, "anthropic", (1_200, 500, 200), "0.01056"),
        # 1,000 at 0.30 and 500 at 2.50 dollars a million
        (GOOGLE, "google", (1_000, 500, 0), "0.00155"),
    ],
)
def test_a_dict_is_read(response: dict[str, Any], provider: str, tokens: tuple[int, int, int], cost: str) -> None:
    found = usage_of(response)
    assert (found.provider, (found.input_tokens, found.output_tokens, found.cached_tokens)) == (provider, tokens)
    assert found.cost == Decimal(cost)
    assert found.prices.startswith("genai-prices ")
    assert found.reference.startswith(f"{provider}/")


def test_openais_own_object_is_read() -> None:
    types = pytest.importorskip("openai.types.chat")
    assert usage_of(types.ChatCompletion.model_validate(OPENAI)).cost == Decimal("0.00725")


def test_openais_responses_are_read() -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 500, "total_tokens": 1_500, "input_tokens_details": {"cached_tokens": 200}}
    assert usage_of({"object": "response", "model": "gpt-4o-2024-08-06", "usage": usage}).cost == Decimal("0.00725")


def test_anthropics_own_object_is_read() -> None:
    types = pytest.importorskip("anthropic.types")
    message = types.Message.model_validate({**ANTHROPIC, "stop_reason": "end_turn", "stop_sequence": None})
    assert usage_of(message).cost == Decimal("0.01056")


def test_googles_own_object_is_read() -> None:
    types = pytest.importorskip("google.genai.types")
    response = types.GenerateContentResponse.model_validate(GOOGLE)
    assert usage_of(response).cost == Decimal("0.00155")


def test_a_model_without_a_price_has_tokens_and_no_cost() -> None:
    found = usage_of({**OPENAI, "model": "our-own-model"})
    assert (found.input_tokens, found.cost) == (1_000, None)


@pytest.mark.parametrize("response", [{}, {"usage": {}}, {"usage": None}, "text", 5])
def test_what_says_nothing_of_usage_is_refused(response: Any) -> None:
    with pytest.raises(ValueError, match=r"usage|response"):
        usage_of(response)


def test_where_no_price_is_known_what_was_held_is_booked() -> None:
    metering = Metering(hold_cost="0.05")
    assert metering.used(priced("openai", "our-own-model", 10, 5)) == {"tokens": 15, "ai_cost": "0.05"}
    assert metering.used(priced("openai", "our-own-model", 0, 0)) == {"tokens": 0, "ai_cost": Decimal(0)}
    assert Metering(cost=None).used(priced("openai", "gpt-4o", 10, 5)) == {"tokens": 15}


def test_several_tags_are_one_dimension_in_one_order() -> None:
    assert dimension_of(["b", "a", "b"], "gpt-4o") == "a,b"
    assert dimension_of([], "gpt-4o") == "gpt-4o"
    assert len(dimension_of(["x" * 100], "gpt-4o")) == 64
