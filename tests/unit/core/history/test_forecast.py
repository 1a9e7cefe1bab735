"""Forecasts of simulated customers: the band of 80 % holds about as often as it says."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import exp
from random import Random

import pytest

from core.history.forecast import DayAhead, Forecast, Held, Pace, PastDay, enough, forecast, pace, since_first_use, tally

NOW = datetime(2026, 11, 23, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
CUSTOMERS = 80
Using = Callable[[Random, int], int]


def poisson(random: Random, mean: float) -> int:
    limit, product, count = exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count


def flat(random: Random, day: int) -> int:
    return poisson(random, 10)


def weekly(random: Random, day: int) -> int:
    return poisson(random, 2 if day % 7 >= 5 else 12)


def sparse(random: Random, day: int) -> int:
    return random.randint(1, 5) if random.random() < 0.2 else 0


def bursty(random: Random, day: int) -> int:
    return poisson(random, 3) + (random.randint(20, 60) if random.random() < 0.1 else 0)


def drifting(random: Random, day: int) -> int:
    return poisson(random, 8 * exp(day * 0.03))


def past(using: Using, days: int, seed: int = 0, first: int = 0) -> list[PastDay]:
    random = Random(f"{using.__name__} {seed}")
    return [PastDay((first + day) % 7 >= 5, using(random, first + day)) for day in range(days)]


def days_ahead(days: int, first: int = 0) -> list[DayAhead]:
    return [DayAhead(NOW + day * DAY, NOW + (day + 1) * DAY, (first + day) % 7 >= 5) for day in range(days)]


def foreseen(
    days: list[PastDay], ahead: int = 20, *, used: int = 0, left: int | None = None, first: int = 0, seed: str = "acme"
) -> Forecast:
    return forecast(days, days_ahead(ahead, first), used=used, left=left, seed=seed)


def coverage(using: Using, history: int, ahead: int = 20) -> float:
    """How often what happened lay within the band."""
    held = 0
    for seed in range(CUSTOMERS):
        days = past(using, history + ahead, seed, first=seed % 7)
        found = foreseen(days[:history], ahead, first=(seed + history) % 7, seed=str(seed))
        held += found.low <= sum(day.used for day in days[history:]) <= found.high
    return held / CUSTOMERS


@pytest.mark.parametrize("history", [28, 56])
def test_a_drifting_pace_is_called_rising_and_a_steady_one_is_not(history: int) -> None:
    called = [pace(past(drifting, history, seed)) for seed in range(40)]
    assert called.count(Pace.RISING) >= 36
    falling = [pace(past(drifting, history, seed)[::-1]) for seed in range(40)]
    assert falling.count(Pace.FALLING) >= 36
    for using in (flat, weekly, sparse, bursty):
        assert [pace(past(using, history, seed)) for seed in range(40)].count(Pace.STEADY) >= 34


def test_the_same_seed_does_not_flicker_and_another_differs_a_little() -> None:
    days = past(bursty, 60)
    assert foreseen(days) == foreseen(days)
    others = {foreseen(days, seed=str(number)).expected for number in range(5)}
    assert len(others) > 1
    assert max(others) - min(others) < 0.15 * max(others)


def test_weekends_are_drawn_from_weekends() -> None:
    days = [PastDay(day % 7 >= 5, 0 if day % 7 >= 5 else 10) for day in range(28)]
    assert foreseen(days, 7) == foreseen(days, 5)
    assert (foreseen(days, 5).low, foreseen(days, 5).high) == (50, 50)


def test_recent_days_weigh_more() -> None:
    days = [PastDay(day % 7 >= 5, 0 if day < 56 else 10) for day in range(84)]
    assert 20 * 10 * 28 / 84 < foreseen(days).expected < 200


def test_what_is_used_already_is_part_of_it_and_the_band_is_around_what_is_expected() -> None:
    found = foreseen(past(flat, 30), used=40)
    assert 40 < found.low < found.expected < found.high
    assert abs(found.expected - 240) < 30


def even(days: int = 28) -> list[PastDay]:
    return [PastDay(day % 7 >= 5, 10) for day in range(days)]


def test_an_even_use_reaches_the_limit_when_a_division_says() -> None:
    found = foreseen(even(), left=85)
    assert (found.chance, found.expected) == (1.0, 200)
    assert found.reached is not None
    assert set(found.reached) == {NOW + 8.5 * DAY}


def test_a_limit_that_is_reached_already_is_reached_now_and_none_is_never_reached() -> None:
    reached = foreseen(even(), left=0).reached
    assert reached is not None
    assert set(reached) == {NOW}
    assert (foreseen(even(), left=None).chance, foreseen(even(), left=None).reached) == (0.0, None)


def test_beyond_the_reset_there_is_a_chance_and_no_date() -> None:
    found = foreseen(past(flat, 30), left=220)
    assert 0 < found.chance < 0.5
    assert found.reached is None
    assert foreseen(even(), left=201).chance == 0
    likely = foreseen(past(flat, 30), left=205)
    assert 0.5 <= likely.chance < 0.9
    assert likely.reached is not None
    assert likely.reached.earliest < likely.reached.expected <= likely.reached.latest == NOW + 20 * DAY


def test_the_rest_of_a_day_is_a_part_of_one() -> None:
    rest = [DayAhead(NOW + DAY / 2, NOW + DAY, False, 0.5)]
    assert forecast(even(), rest, used=3, left=None, seed="x").expected == 8
    assert forecast(even(), [], used=3, left=1, seed="x").expected == 3


def test_below_a_week_or_three_active_days_nothing_is_foreseen() -> None:
    assert enough(even(7))
    assert not enough(even(6))
    three = [PastDay(False, used) for used in (1, 0, 0, 1, 0, 0, 1)]
    assert enough(three)
    assert not enough([*three[:-1], PastDay(False, 0)])
    assert len(since_first_use([PastDay(False, 0), *three])) == 7
    assert list(since_first_use([PastDay(False, 0)] * 3)) == []


def test_bands_are_told_by_the_length_of_their_history() -> None:
    found = tally([(7, True), (13, False), (14, True), (90, True), (112, False), (100, True)])
    assert found[0] == Held(7, 2, 1)
    assert (found[0].percent, found[1].percent, found[2].percent) == (50, 100, 0)
    assert found[-1] == Held(84, 3, 2)
