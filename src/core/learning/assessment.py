"""An assessment of a learner."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from core.errors import DomainError


class AssessmentConflict(DomainError):
    """Another assessment is known by this id."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id
        self.message = f"Assessment {id!r} was taken already, with other content: use a new id for a new assessment."

    def facts(self) -> Mapping[str, object]:
        return {"assessment_id": self.id}


@dataclass(frozen=True, slots=True)
class Assessment:
    """One assessment of one customer, known by an id that the caller may choose. `score` is on the caller's own scale."""

    id: str
    customer_id: str
    kind: str
    score: Decimal | None
    taken_at: datetime

    def require_same(self, kind: str, score: Decimal | None) -> None:
        """Raises AssessmentConflict where something else was assessed."""
        if (self.kind, self.score) != (kind, score):
            raise AssessmentConflict(self.id)
