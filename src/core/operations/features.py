"""What AI operations meter."""

from typing import Final

from core.plans.features import Feature

AI_RUNS: Final = Feature("ai_runs", "run")
AI_COST: Final = Feature("ai_cost", "USD", 1_000_000_000)
