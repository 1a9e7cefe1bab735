"""What conversations meter."""

from typing import Final

from core.plans.features import Feature

CONVERSATIONS: Final = Feature("conversations", "conversation")
