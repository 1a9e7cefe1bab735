"""How often the band of a forecast holds, on simulated customers. It takes half a minute, and so is no unit test."""

import pytest

from tests.unit.core.history.test_forecast import Using, bursty, coverage, flat, sparse, weekly


@pytest.mark.parametrize("history", [14, 28, 56])
@pytest.mark.parametrize("using", [flat, weekly, sparse, bursty])
def test_the_band_of_80_percent_holds_70_to_90_of_100_times(using: Using, history: int) -> None:
    assert 0.70 <= coverage(using, history) <= 0.90
