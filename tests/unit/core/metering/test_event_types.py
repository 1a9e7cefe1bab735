"""What an event of a mapped type is booked as: looked up by the paths of its type's meters."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metering.balance import Amount
from core.metering.event_types import EventMeter, EventType, InvalidEvent, is_path

TOKENS = EventMeter("tokens", "data.usage.total", "data.model")
REQUESTS = EventMeter("requests")
PROMPT = EventType("prompt", (TOKENS, REQUESTS))


def test_an_event_counts_towards_each_of_its_types_features() -> None:
    found = PROMPT.amounts({"usage": {"total": 512}, "model": "large"})
    assert found == [Amount("tokens", Decimal(512), "large"), Amount("requests", Decimal(1))]


@pytest.mark.parametrize(
    "data", [None, {}, {"usage": None}, {"usage": []}, {"usage": {}}, {"usage": {"total": None}}, {"usage.total": 3}, 7]
)
def test_a_path_that_leads_nowhere_is_named(data: Any) -> None:
    with pytest.raises(InvalidEvent, match=r"data\.usage\.total: nothing is there"):
        PROMPT.amounts(data)


@pytest.mark.parametrize("total", ["512", True, False, [1], {"a": 1}])
def test_what_is_no_number_is_no_quantity(total: Any) -> None:
    with pytest.raises(InvalidEvent, match=r"data\.usage\.total: a number is expected") as refusal:
        PROMPT.amounts({"usage": {"total": total}})
    assert refusal.value.facts() == {"path": "data.usage.total"}


@pytest.mark.parametrize("total", [0, 0.1, 3.7e-10, 12, Decimal("0.30")])
def test_a_number_is_taken_as_it_is_written(total: Any) -> None:
    assert TOKENS.amount({"usage": {"total": total}}).quantity == Decimal(str(total))


DIMENSIONS = [(None, None), ("", None), (["a"], None), (True, None), (0, "0"), (4, "4"), ("a\nb", "a b"), ("x" * 65, "x" * 63 + "…")]


@pytest.mark.parametrize(("model", "dimension"), DIMENSIONS)
def test_a_dimension_that_is_not_there_is_none_and_a_strange_one_is_mended(model: Any, dimension: str | None) -> None:
    assert TOKENS.amount({"usage": {"total": 1}, "model": model}).dimension == dimension


plain = st.none() | st.booleans() | st.integers() | st.text()
anything = st.recursive(plain, lambda inner: st.dictionaries(st.sampled_from(["usage", "total", "model", "x"]), inner) | st.lists(inner))


@given(anything)
def test_whatever_an_event_carries_it_has_amounts_or_the_path_is_named(data: Any) -> None:
    try:
        amounts = PROMPT.amounts(data)
    except InvalidEvent as refusal:
        named = refusal.path
    else:
        named = "data.usage.total"
        assert [amount.feature for amount in amounts] == ["tokens", "requests"]
    assert named == "data.usage.total"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.a", True),
        ("data.usage.total", True),
        ("data." + ".".join("abcdefgh"), True),
        ("data." + ".".join("abcdefghi"), False),
        ("data", False),
        ("data.", False),
        ("data..a", False),
        ("subject", False),
        ("data.a b", False),
        ("data." + "x" * 65, False),
    ],
)
def test_a_path_begins_with_data_and_has_up_to_eight_names(text: str, expected: bool) -> None:
    assert is_path(text) is expected
