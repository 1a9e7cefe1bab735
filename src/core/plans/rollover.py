"""What of an allowance outlives its period."""

from dataclasses import dataclass
from typing import Final

PERIODS_MAX: Final = 36


@dataclass(frozen=True, slots=True)
class Rollover:
    """What is left of the allowance when a period ends stays usable for so many `periods` more.

    `max`, in smallest parts, is how much may be rolled over in all: beyond it the oldest is trimmed. None: any amount.
    """

    max: int | None
    periods: int
