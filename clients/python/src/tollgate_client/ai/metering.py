"""What a call of a model holds before it and books after it, for adapters of frameworks."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from tollgate_client._requests import Quantity
from tollgate_client.ai.usage import AiUsage

DIMENSION_LENGTH_MAX = 64


@dataclass(frozen=True)
class Metering:
    """Which features a call counts towards, and how much of them is held before it. A feature that is None is not metered.

    Where a call's price or tokens cannot be told, what was held is booked.
    """

    tokens: str | None = "tokens"
    cost: str | None = "ai_cost"
    hold_tokens: Quantity = 4_000
    hold_cost: Quantity = "0.05"
    ttl_seconds: int = 900
    """A call that never ends gives back what it held after so long."""

    def held(self) -> dict[str, Quantity]:
        """By feature."""
        wanted = {self.tokens: self.hold_tokens, self.cost: self.hold_cost}
        return {feature: quantity for feature, quantity in wanted.items() if feature is not None}

    def used(self, usage: AiUsage) -> dict[str, Quantity]:
        """By feature."""
        actual: dict[str, Quantity] = {}
        if self.tokens is not None:
            actual[self.tokens] = usage.tokens
        if self.cost is not None:
            actual[self.cost] = Decimal(0) if not usage.tokens else self.hold_cost if usage.cost is None else usage.cost
        return actual

    def booked(self, usage: AiUsage | None, tags: Iterable[str]) -> tuple[dict[str, Quantity] | None, str | None]:
        """What a commit says: amounts and dimension; nothing where the model did not tell, and then what was held is booked."""
        return (None, None) if usage is None else (self.used(usage), dimension_of(tags, usage.model))


def dimension_of(tags: Iterable[str], model: str) -> str:
    """Several tags as one dimension, in one order; without any, the model."""
    return (",".join(sorted(set(tags))) or model)[:DIMENSION_LENGTH_MAX]
