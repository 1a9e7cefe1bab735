"""A learning plan: so many practice sessions, so many a week."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Final

from core.errors import NotFoundError

TOTAL_SESSIONS_MAX: Final = 1_000

_TENTH: Final = Decimal("0.1")


class LearningPlanNotFound(NotFoundError):
    """The customer has no learning plan with this id."""

    noun = "learning plan"


@dataclass(frozen=True, slots=True)
class Week:
    """One week of a plan's schedule; weeks are numbered from 1."""

    number: int
    sessions_total: int
    sessions_completed: int


@dataclass(frozen=True, slots=True)
class LearningPlan:
    """One learning plan of one customer. `practised_sessions` is how many practice sessions were saved for it, beyond its last too."""

    id: str
    customer_id: str
    language: str
    level: str
    total_sessions: int
    sessions_per_week: int
    created_at: datetime
    practised_sessions: int = 0

    @property
    def completed_sessions(self) -> int:
        """How far the plan has come; practice beyond its last session does not carry it further."""
        return min(self.practised_sessions, self.total_sessions)

    @property
    def progress_percentage(self) -> Decimal:
        """Completed of total, rounded down to a tenth: 100 only where the plan is complete."""
        return (Decimal(100 * self.completed_sessions) / self.total_sessions).quantize(_TENTH, ROUND_DOWN)

    @property
    def weekly_schedule(self) -> Sequence[Week]:
        """Full weeks and, where the total does not divide evenly, the rest in the last one. Sessions fill the weeks in order."""
        weeks = []
        for number, before in enumerate(range(0, self.total_sessions, self.sessions_per_week), 1):
            in_week = min(self.sessions_per_week, self.total_sessions - before)
            weeks.append(Week(number, in_week, min(max(self.completed_sessions - before, 0), in_week)))
        return weeks

    def practised(self) -> "LearningPlan":
        """After one more practice session."""
        return replace(self, practised_sessions=self.practised_sessions + 1)
