"""A number has one spelling, whatever the caller's: what is sent again is known again by it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.wire import spelled


@pytest.mark.parametrize(
    ("written", "spelling"),
    [
        *(("1", "1"), ("1.0", "1"), ("1e0", "1"), ("0.50", "0.5"), ("-0.0", "0"), ("1E+1", "1E+1"), ("10", "1E+1")),
        *(("0.30000000000000004", "0.3"), ("0.1234567890123456", "0.123456789012346")),
        *(("9000000000000001", "9000000000000001"), ("1e999999999", "1E+999999999"), ("NaN", "NaN"), ("Infinity", "Infinity")),
    ],
)
def test_a_number_has_one_spelling(written: str, spelling: str) -> None:
    assert spelled(Decimal(written)) == spelling


@given(st.integers(-(10**16), 10**16), st.integers(-(10**16), 10**16))
def test_two_whole_numbers_are_never_spelled_alike(one: int, other: int) -> None:
    assert (spelled(Decimal(one)) == spelled(Decimal(other))) == (one == other)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-1000, max_value=1000), st.integers(0, 5))
def test_zeros_at_the_end_make_no_difference(number: Decimal, zeros: int) -> None:
    assert spelled(Decimal(f"{number:f}" + "0" * zeros)) == spelled(number)
