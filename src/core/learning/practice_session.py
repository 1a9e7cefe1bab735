"""A practice session: perhaps started, and saved when it is finished."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from core.errors import DomainError, NotFoundError


class PracticeStatus(StrEnum):
    """Where a practice session stands. A started one that is neither saved nor abandoned stays started; its hold expires."""

    STARTED = "started"
    ABANDONED = "abandoned"
    SAVED = "saved"


class PracticeSessionNotFound(NotFoundError):
    """The customer has no practice session with this id."""

    noun = "practice session"


class PracticeSessionConflict(DomainError):
    """Another practice session is known by this id."""

    def __init__(self, id: str, status: PracticeStatus) -> None:
        super().__init__(id, status)
        self.id, self.status = id, status
        self.message = f"Practice session {id!r} was {status.value} already, with other content: use a new id for a new session."

    def facts(self) -> Mapping[str, object]:
        return {"practice_session_id": self.id, "status": self.status.value}


class PracticeSessionSaved(DomainError):
    """A practice session that has been saved cannot be abandoned: it is counted."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id
        self.message = f"Practice session {id!r} has been saved and counted: it cannot be abandoned."

    def facts(self) -> Mapping[str, object]:
        return {"practice_session_id": self.id, "status": PracticeStatus.SAVED.value}


@dataclass(frozen=True, slots=True)
class Practice:
    """What a learner did."""

    duration_seconds: int
    conversation_type: str | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class PracticeSession:
    """One practice session of one customer, known by an id that the caller may choose.

    `practice` and `saved_at` are None until it is saved; `started_at` and `reservation_id` are None where it never was started.
    `over_limit` says whether it was booked above the plan's limit. An abandoned one can be started anew, and saved after all.
    """

    id: str
    customer_id: str
    learning_plan_id: str | None = None
    started_at: datetime | None = None
    reservation_id: UUID | None = None
    practice: Practice | None = None
    saved_at: datetime | None = None
    over_limit: bool = False
    abandoned_at: datetime | None = None

    @property
    def status(self) -> PracticeStatus:
        if self.saved_at is not None:
            return PracticeStatus.SAVED
        return PracticeStatus.STARTED if self.abandoned_at is None else PracticeStatus.ABANDONED

    def plan_id(self, named: str | None) -> str | None:
        """The learning plan that a further call is about: the one that it names, or else the one that the session was started for."""
        return named if named is not None or self.started_at is None else self.learning_plan_id

    def require_unsaved(self) -> None:
        """Raises PracticeSessionConflict where it has been saved."""
        if self.saved_at is not None:
            raise PracticeSessionConflict(self.id, self.status)

    def started(self, learning_plan_id: str | None, reservation_id: UUID, now: datetime) -> "PracticeSession":
        """Starts, or starts anew where an earlier start was abandoned, or forgotten. Ask `require_unsaved` first."""
        return replace(self, learning_plan_id=learning_plan_id, reservation_id=reservation_id, started_at=now, abandoned_at=None)

    def abandoned(self, now: datetime) -> "PracticeSession":
        """Given up; again, it changes nothing. Raises PracticeSessionSaved."""
        if self.saved_at is not None:
            raise PracticeSessionSaved(self.id)
        return self if self.abandoned_at is not None else replace(self, abandoned_at=now)

    def require_started_for(self, learning_plan_id: str | None) -> None:
        """Raises PracticeSessionConflict where it was started for another learning plan."""
        if self.learning_plan_id != learning_plan_id:
            raise PracticeSessionConflict(self.id, self.status)

    def repeats_save(self, learning_plan_id: str | None, practice: Practice) -> bool:
        """Whether this very practice was saved before. Raises PracticeSessionConflict where other practice was."""
        if self.saved_at is None:
            return False
        if (self.learning_plan_id, self.practice) != (learning_plan_id, practice):
            raise PracticeSessionConflict(self.id, self.status)
        return True

    def saved(self, learning_plan_id: str | None, practice: Practice, now: datetime, *, over_limit: bool) -> "PracticeSession":
        """Finished. Ask `repeats_save` first."""
        return replace(self, learning_plan_id=learning_plan_id, practice=practice, saved_at=now, over_limit=over_limit)
