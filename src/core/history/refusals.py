"""What customers were refused by their plans, kept so that somebody can ask later."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from core.metering.reader import Position

KEPT_FOR: Final = timedelta(days=30)


class RefusalKind(StrEnum):
    """Whether work was refused, or somebody only asked whether it would be."""

    REFUSED = "refused"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal, as it was told: its code, its sentence, and the facts by name. `operation` is what was asked for."""

    customer_id: str
    id: UUID
    at: datetime
    request_id: str
    operation: str
    kind: RefusalKind
    feature: str | None
    error: str
    message: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalQuery:
    """Which refusals of a customer, newest first: `since` is included, `until` is not."""

    customer_id: str
    limit: int
    feature: str | None = None
    kind: RefusalKind | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: Position | None = None


class RefusalReader(ABC):
    """Refusals that have been written."""

    @abstractmethod
    async def newest(self, query: RefusalQuery) -> Sequence[Refusal]:
        """Those that come after the position. Raises CustomerNotFound."""
