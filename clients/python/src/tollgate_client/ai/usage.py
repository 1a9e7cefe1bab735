"""Reads the answers of OpenAI, Anthropic and Google: their own objects, or the same as dicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import genai_prices
from genai_prices.data_snapshot import get_snapshot

PRICES = f"genai-prices {genai_prices.__version__}"
"""The price list of this process."""


@dataclass(frozen=True)
class AiUsage:
    """What one call used, and what it cost by the prices of its time, in US dollars.

    `cost` is None where no price of the model is known. `input_tokens` includes `cached_tokens`. `prices` names the price list, so that it
    can be kept with the record: nothing is priced again later.
    """

    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: Decimal | None
    prices: str

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens

    @property
    def reference(self) -> str:
        """For the record that is booked: model and price list."""
        return f"{self.provider}/{self.model} {self.prices}"[:255]


def usage_of(response: Any, *, provider: str | None = None, model: str | None = None, at: datetime | None = None) -> AiUsage:
    """What a response says that it used. `provider` (openai, anthropic, google) is told from its form where it is left out.

    `model`: where the response does not name it, or it is priced as another one. `at`: when the call was made; None is now. Raises
    ValueError where it is not an answer of a model, or says nothing of usage.
    """
    data = _data(response)
    try:
        told_by, flavor = _form(data)
    except ValueError:
        if provider is None:
            raise
        told_by, flavor = provider, "default"
    found = provider or told_by
    try:
        read = get_snapshot().find_provider(None, found, None)
        told, usage = read.extract_usage(data, api_flavor=flavor)
    except (LookupError, TypeError) as error:
        raise ValueError(f"what the response used cannot be read: {error}") from error
    named = model or told or _named(data) or "unknown"
    return AiUsage(
        provider=found,
        model=named,
        input_tokens=int(usage.input_tokens or 0),
        output_tokens=int(usage.output_tokens or 0),
        cached_tokens=int(usage.cache_read_tokens or 0),
        cost=price_of(usage, named, found, at),
        prices=PRICES,
    )


def price_of(usage: Any, model: str, provider: str | None, at: datetime | None = None) -> Decimal | None:
    """In US dollars; None where no price of the model is known."""
    try:
        return genai_prices.calc_price(usage, model, provider_id=provider, genai_request_timestamp=at).total_price
    except LookupError:
        return None


def priced(provider: str | None, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> AiUsage:
    """For tokens that something else has counted."""
    usage = genai_prices.Usage(input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cached_tokens or None)
    cost = price_of(usage, model, provider)
    return AiUsage(provider or "unknown", model, input_tokens, output_tokens, cached_tokens, cost, PRICES)


def _data(response: Any) -> dict[str, Any]:
    if isinstance(response, Mapping):
        return dict(response)
    for name in ("model_dump", "to_dict", "dict"):
        if callable(dump := getattr(response, name, None)):
            data = dump(by_alias=True) if name == "model_dump" else dump()
            if isinstance(data, Mapping):
                return dict(data)
    raise ValueError(f"a model's response is expected, not {type(response).__name__}")


def _form(data: Mapping[str, Any]) -> tuple[str, str]:
    """The provider, and which of its interfaces, by the names that its answers use."""
    if "usageMetadata" in data or "usage_metadata" in data:
        return "google", "default"
    usage = data.get("usage")
    if not isinstance(usage, Mapping):
        raise ValueError("the response says nothing of what it used: no 'usage' and no 'usageMetadata'")
    if "prompt_tokens" in usage:
        return "openai", "chat"
    if data.get("object") == "response":
        return "openai", "responses"
    if "input_tokens" in usage:
        return "anthropic", "default"
    raise ValueError("the response says what it used in a form that is not known: name its provider")


def _named(data: Mapping[str, Any]) -> str | None:
    name = data.get("model") or data.get("modelVersion") or data.get("model_version")
    return str(name) if name else None
