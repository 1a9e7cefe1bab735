"""How values are read from the wire and written to it."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.wire import DURATION_SECONDS_MAX, ExactNumber, Instant, RoundNumber, Seconds, instant, mended_texts, money, percent
from core.text import mended_label

INSTANT, SECONDS = TypeAdapter[datetime](Instant), TypeAdapter[int](Seconds)
NUMBER, ROUND = TypeAdapter[Decimal](ExactNumber), TypeAdapter[Decimal](RoundNumber)

offsets = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)


@given(at=instants)
def test_an_instant_is_read_whatever_its_offset(at: datetime) -> None:
    found = INSTANT.validate_python(at.isoformat())
    assert (found, found.tzinfo) == (at, UTC)
    assert INSTANT.validate_python(at.isoformat().lower()) == at


@given(at=instants)
def test_an_instant_survives_being_written_and_read_again(at: datetime) -> None:
    assert INSTANT.validate_python(instant(at)) == at
    assert INSTANT.dump_json(at) == f'"{instant(at)}"'.encode()


@given(
    text=st.text("0123456789-+:.TZtz ", max_size=30)
    | st.from_regex(r"\d{4}-\d\d-\d\d[Tt ]?(\d\d:\d\d(:\d\d)?)?([+-]?\d{1,4})?", fullmatch=True)
)
def test_without_an_offset_nothing_is_an_instant(text: str) -> None:
    if text[-1:] in ("Z", "z") or text[-6:-5] in ("+", "-"):
        return
    with pytest.raises(ValidationError):
        INSTANT.validate_python(text)


@pytest.mark.parametrize("text", ["2026-11-01T00:00:00Z".replace(digit, "\u0662") for digit in "2610"])
def test_digits_are_ascii(text: str) -> None:
    with pytest.raises(ValidationError):
        INSTANT.validate_python(text)


@given(at=st.floats(0, DURATION_SECONDS_MAX) | st.integers(0, DURATION_SECONDS_MAX))
def test_seconds_are_rounded_half_even(at: float) -> None:
    assert SECONDS.validate_python(at) == round(Fraction(at))


@pytest.mark.parametrize("value", [-1, -1e-9, DURATION_SECONDS_MAX + 1, 1e300, 10**400, float("nan"), float("inf"), True, "1", None])
def test_what_is_no_duration_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        SECONDS.validate_python(value)


@given(used=st.integers(0, 10**6), limit=st.integers(1, 10**4))
def test_a_percentage_is_rounded_down_to_a_tenth(used: int, limit: int) -> None:
    shown = Fraction(str(percent(used, limit)))
    assert 0 <= Fraction(100 * used, limit) - shown < Fraction(1, 10)
    assert (shown >= 100) == (used >= limit)
    assert shown != int(shown) or isinstance(percent(used, limit), int)


def test_of_a_limit_of_nothing_nothing_is_0_and_anything_is_full() -> None:
    assert (percent(0, 0), percent(1, 0), percent(10**18, 0)) == (0, 100, 100)


@pytest.mark.parametrize(
    ("dollars", "shown"),
    [("0", "$0.00"), ("2.996", "$2.99"), ("2.999999999", "$2.99"), ("3", "$3.00"), ("1E+4", "$10000.00"), ("1e-9", "$0.00")],
)
def test_money_is_rounded_down_to_the_cent(dollars: str, shown: str) -> None:
    assert money(Decimal(dollars)) == shown


@pytest.mark.parametrize(
    ("value", "exact", "rounded"),
    [(0.1 + 0.2, "0.30000000000000004", "0.3"), (10**18 + 1, str(10**18 + 1), "1e18"), (1e-300, "1e-300", "1e-300")],
)
def test_a_number_is_read_as_its_shortest_text(value: float, exact: str, rounded: str) -> None:
    assert (NUMBER.validate_python(value), ROUND.validate_python(value)) == (Decimal(exact), Decimal(rounded))


@pytest.mark.parametrize("body", [None, 7, "text", [], {}, {"name": None}, {"name": 7}, {"other": "a\x00"}])
def test_what_has_no_such_text_stays_as_it_is(body: Any) -> None:
    assert mended_texts(body, name=mended_label) == body


def test_texts_are_mended_and_empty_ones_are_none() -> None:
    assert mended_texts({"name": "a\nb", "other": "", "rest": "\x00"}, name=mended_label, other=mended_label) == {
        "name": "a b",
        "other": None,
        "rest": "\x00",
    }
