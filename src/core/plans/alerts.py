"""At which usage somebody is told: the thresholds of a metered feature."""

from enum import StrEnum
from typing import Final, NamedTuple

PERCENT_MAX: Final = 1000
"""A soft limit may be passed many times over."""

THRESHOLDS_MAX: Final = 20
"""How many one feature may have."""

EXPECTED_PERCENT: Final = f"a whole number from 1 to {PERCENT_MAX}"
EXPECTED_ALERTS: Final = f"a list of at most {THRESHOLDS_MAX} different percentages, each {EXPECTED_PERCENT}"


class ThresholdType(StrEnum):
    """What of a feature is compared: what was used in percent of the limit, what was used, or what is left of the limit."""

    PERCENT = "percent"
    USED = "used"
    REMAINING = "remaining"


class Threshold(NamedTuple):
    """A level of usage. `value` is a percentage, or counts smallest parts."""

    type: ThresholdType
    value: int

    @property
    def name(self) -> str:
        """What it goes by among those of its feature."""
        return f"{self.type.value}:{self.value}"

    @property
    def is_limit(self) -> bool:
        """Whether nothing is left of the limit there."""
        return self in (_FULL, _NOTHING_LEFT)

    def reached_at(self, limit: int | None) -> int | None:
        """The least usage that stands at it, given the limit (None: unlimited); at least one smallest part. None: no usage does.

        Nothing is reached before anything is used, whatever the limit.
        """
        kind, value = self
        if kind is ThresholdType.USED:
            return max(value, 1)
        if limit is None:
            return None
        return max(-(-limit * value // 100) if kind is ThresholdType.PERCENT else limit - value, 1)


_FULL: Final = Threshold(ThresholdType.PERCENT, 100)
_NOTHING_LEFT: Final = Threshold(ThresholdType.REMAINING, 0)


def percentages(*values: int) -> tuple[Threshold, ...]:
    """Thresholds in percent of the limit."""
    return tuple(Threshold(ThresholdType.PERCENT, value) for value in values)


ALERTS_DEFAULT: Final = percentages(80, 95, 100)
"""Where a plan does not say."""


def named(name: str) -> Threshold:
    """The threshold that goes by this name."""
    kind, _, value = name.partition(":")
    return Threshold(ThresholdType(kind), int(value))
