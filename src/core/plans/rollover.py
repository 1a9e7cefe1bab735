"""What of an allowance outlives its period."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

PERIODS_MAX: Final = 36
"""How many periods what is rolled over may last."""

EXPECTED_PERIODS: Final = f"a whole number from 1 to {PERIODS_MAX}"


@dataclass(frozen=True, slots=True)
class Rollover:
    """What is left of the allowance when a period ends stays usable for so many `periods` more.

    `max`, in smallest parts, is how much may be rolled over in all: beyond it the oldest is trimmed. None: any amount.
    """

    max: int | None
    periods: int


@dataclass(frozen=True, slots=True)
class RolloverDraft:
    """As its author writes it: `max` in the feature's unit."""

    max: Decimal | None
    periods: int
