"""What was done since a mark can be taken back, and nothing before it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.metering.journal import Journal


def test_a_value_that_was_put_is_taken_back_to_what_was_there() -> None:
    journal, memory = Journal(), {"a": 1}
    mark = journal.mark()
    journal.put(memory, "a", 2)
    journal.put(memory, "b", 3)
    assert memory == {"a": 2, "b": 3}
    journal.undo(mark)
    assert memory == {"a": 1}


def test_none_is_a_value_like_every_other() -> None:
    journal = Journal()
    memory: dict[str, int | None] = {"a": None}
    journal.put(memory, "a", 1)
    journal.undo(0)
    assert memory == {"a": None}


def test_a_key_that_was_dropped_comes_back() -> None:
    journal = Journal()
    memory: dict[str, int | None] = {"a": 1, "b": None}
    for key in ("a", "b", "unheard of"):
        journal.drop(memory, key)
    assert memory == {}
    journal.undo(0)
    assert memory == {"a": 1, "b": None}


def test_a_value_that_was_added_is_taken_off_the_end() -> None:
    journal, memory = Journal(), [1]
    journal.add(memory, 2)
    mark = journal.mark()
    journal.add(memory, 3)
    journal.undo(mark)
    assert memory == [1, 2]


def test_what_was_done_before_the_mark_stands() -> None:
    journal, memory = Journal(), {"a": 1}
    journal.put(memory, "a", 2)
    journal.undo(journal.mark())
    assert memory == {"a": 2}


def test_after_an_undo_an_earlier_mark_can_still_be_returned_to() -> None:
    journal, memory = Journal(), {"a": 1}
    first = journal.mark()
    journal.put(memory, "a", 2)
    second = journal.mark()
    journal.put(memory, "a", 3)
    journal.undo(second)
    journal.put(memory, "a", 4)
    journal.undo(first)
    assert memory == {"a": 1}


STEPS = st.lists(st.tuples(st.sampled_from(["put", "drop", "add"]), st.sampled_from("abc"), st.integers(0, 3)), max_size=20)


@given(before=STEPS, after=STEPS)
def test_whatever_was_done_since_the_mark_is_taken_back(before: list[tuple[str, str, int]], after: list[tuple[str, str, int]]) -> None:
    journal = Journal()
    by_key: dict[str, int] = {}
    in_order: list[int] = []

    def carry_out(steps: list[tuple[str, str, int]]) -> tuple[Any, Any]:
        for kind, key, value in steps:
            if kind == "put":
                journal.put(by_key, key, value)
            elif kind == "drop":
                journal.drop(by_key, key)
            else:
                journal.add(in_order, value)
        return dict(by_key), list(in_order)

    stood = carry_out(before)
    mark = journal.mark()
    carry_out(after)
    journal.undo(mark)
    assert (by_key, in_order) == stood
