"""Where a period will end, and when its limit will be reached: 400 futures drawn from the customer's own past days. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from math import log, sqrt
from random import Random
from statistics import fmean
from typing import Final, NamedTuple

PATHS: Final = 400
HALF_LIFE_DAYS: Final = 28
DAYS_MIN: Final = 7
ACTIVE_DAYS_MIN: Final = 3
HISTORY_DAYS_MAX: Final = 4 * HALF_LIFE_DAYS
"""A day further back would weigh less than a sixteenth of yesterday."""
TOO_LITTLE_HISTORY: Final = "too_little_history"
METHOD: Final = "bayesian_bootstrap"

_LOW, _HIGH = PATHS // 10, PATHS - 1 - PATHS // 10
_UNSEEN: Final = 4
"""So many days' worth of surprise: past days have not shown all that can happen, the less the fewer they are."""


class Pace(StrEnum):
    """Whether the latest days differ from those before them by more than chance."""

    RISING = "rising"
    STEADY = "steady"
    FALLING = "falling"


class PastDay(NamedTuple):
    """What was used on one day, in smallest parts."""

    weekend: bool
    used: int


class DayAhead(NamedTuple):
    """A day to come, or the rest of one: `part` is how much of a whole day it is."""

    start: datetime
    end: datetime
    weekend: bool
    part: float = 1.0


class Reached(NamedTuple):
    """When a limit is reached: in half of all futures by `expected`, in a tenth by `earliest`, in nine tenths by `latest`.

    What would come after the last day ahead is told as its end.
    """

    expected: datetime
    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will have been used at the end of the days ahead, in smallest parts: the middle of all futures, and the band of 80 % of them.

    `chance` is the share of futures in which what is left is used up. `reached` is None where that is less than half of them.
    """

    expected: int
    low: int
    high: int
    chance: float
    reached: Reached | None
    pace: Pace


def enough(days: Sequence[PastDay]) -> bool:
    """Whether anything can be said: a week, and three days of it with usage."""
    return len(days) >= DAYS_MIN and sum(day.used > 0 for day in days) >= ACTIVE_DAYS_MIN


def since_first_use(days: Sequence[PastDay]) -> Sequence[PastDay]:
    """Without the days before anything was used."""
    first = next((number for number, day in enumerate(days) if day.used > 0), len(days))
    return days[first:]


def forecast(days: Sequence[PastDay], ahead: Sequence[DayAhead], *, used: int, left: int | None, seed: str) -> Forecast:
    """From past days, the latest one last, at least those that are `enough`, and from what is used now and left of the limit (None: all).

    The same seed and the same days give the same answer.
    """
    paths = _paths(days, ahead, Random(seed))
    finals = sorted(path[-1] if path else 0.0 for path in paths)
    low, middle, high = (used + round(finals[rank]) for rank in (_LOW, PATHS // 2, _HIGH))
    if left is None:
        return Forecast(middle, low, high, 0.0, None, pace(days))
    crossed = sorted(at for path in paths if (at := _crossed(path, ahead, left)) is not None)
    chance = len(crossed) / PATHS
    return Forecast(middle, low, high, chance, _reached(crossed, ahead), pace(days))


def pace(days: Sequence[PastDay]) -> Pace:
    """Compares the last week, or fortnight, with what came before it: weekday with weekday, weekend with weekend."""
    recent = 14 if len(days) >= 2 * 14 else 7
    if len(days) < 2 * recent:
        return Pace.STEADY
    latest, before = days[-recent:], days[-3 * recent : -recent]
    means = {weekend: _mean([day.used for day in days if day.weekend is weekend]) for weekend in (False, True)}
    one, other = ([day.used - means[day.weekend] for day in some] for some in (before, latest))
    noise = sqrt(_variance(one) / len(one) + _variance(other) / len(other))
    change = fmean(other) - fmean(one)
    if abs(change) <= 2 * noise:
        return Pace.STEADY
    return Pace.RISING if change > 0 else Pace.FALLING


def _paths(days: Sequence[PastDay], ahead: Sequence[DayAhead], random: Random) -> list[list[float]]:
    """What has been used by the end of each day ahead, in each future.

    Each future weighs the past days anew (a Bayesian bootstrap; recent days weigh more), and draws its days by these weights. Few days
    show less than can happen: futures are spread out around their mean the more, the fewer there are.
    """
    newest = len(days) - 1
    kinds = []
    for weekend in (False, True):
        seen = [(day.used, 0.5 ** ((newest - age) / HALF_LIFE_DAYS)) for age, day in enumerate(days) if day.weekend is weekend]
        kinds.append(([used for used, _ in seen] or [0], [weight for _, weight in seen] or [1.0]))
    counts = [sum(day.weekend is weekend for day in ahead) for weekend in (False, True)]
    paths = []
    for _ in range(PATHS):
        drawn = []
        for (values, weights), count in zip(kinds, counts, strict=True):
            weighed = list(accumulate(-log(1.0 - random.random()) * weight for weight in weights))
            drawn.append(iter(random.choices(values, cum_weights=weighed, k=count)))
        paths.append(list(accumulate(next(drawn[day.weekend]) * day.part for day in ahead)))
    spread = 1 + _UNSEEN / len(days)
    middles = [fmean(sums) for sums in zip(*paths, strict=True)]
    return [[max(middle + spread * (total - middle), 0.0) for total, middle in zip(path, middles, strict=True)] for path in paths]


def _crossed(path: Sequence[float], ahead: Sequence[DayAhead], left: int) -> datetime | None:
    """When so much more has been used, as if each day used its part evenly."""
    number = next((number for number, total in enumerate(path) if total >= left), None)
    if left <= 0:
        return ahead[0].start if ahead else None
    if number is None:
        return None
    before = path[number - 1] if number else 0.0
    day = ahead[number]
    return day.start + (day.end - day.start) * min(max((left - before) / max(path[number] - before, 1e-9), 0.0), 1.0)


def _reached(crossed: Sequence[datetime], ahead: Sequence[DayAhead]) -> Reached | None:
    if len(crossed) * 2 < PATHS or not ahead:
        return None
    earliest, expected, latest = (crossed[rank] if rank < len(crossed) else ahead[-1].end for rank in (_LOW, PATHS // 2 - 1, _HIGH))
    return Reached(expected, earliest, latest)


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def _variance(values: Sequence[float]) -> float:
    mean = fmean(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


class Held(NamedTuple):
    """How often bands held, by the fewest days of history that they were made from."""

    days: int
    bands: int
    held: int

    @property
    def percent(self) -> int:
        return 100 * self.held // self.bands if self.bands else 0


LENGTHS: Final = (7, 14, 28, 56, 84)
"""By these lengths of history bands are told apart."""


def tally(found: Sequence[tuple[int, bool]]) -> list[Held]:
    """Of each band, of how many days it was made, and whether what happened lay within it."""
    tallies = []
    for number, days in enumerate(LENGTHS):
        upper = LENGTHS[number + 1] if number + 1 < len(LENGTHS) else HISTORY_DAYS_MAX + 1
        some = [held for length, held in found if days <= length < upper]
        tallies.append(Held(days, len(some), sum(some)))
    return tallies
