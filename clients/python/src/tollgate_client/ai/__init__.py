"""What a call of a language model used and cost. Needs the extra `ai` (the package `genai-prices`, whose prices are dated and offline)."""

from tollgate_client.ai.usage import AiUsage, usage_of

__all__ = ["AiUsage", "usage_of"]
