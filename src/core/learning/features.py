"""What learning meters."""

from typing import Final

from core.plans.features import Feature

PRACTICE_SESSIONS: Final = Feature("practice_sessions", "session")
ASSESSMENTS: Final = Feature("assessments", "assessment")
