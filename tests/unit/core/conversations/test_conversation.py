"""Which conversation a message belongs to. Times are minutes of one day."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.conversations.window import Window
from tests.unit.fakes.conversations_in_order import Span, conversations_in_order
from tests.unit.fakes.counterparties import DAY, Counterparty, after

HOUR = Window(timedelta(hours=1))
FIXED_HOUR = Window(timedelta(hours=1), extending=False)


def received(minutes: Iterable[float], window: Window = HOUR) -> list[tuple[float, float, int]]:
    return Counterparty(window).receive_all(minutes).in_minutes()


def in_order(minutes: Iterable[float], window: Window) -> list[Span]:
    return conversations_in_order([DAY + after(minute) for minute in minutes], window)


def test_a_message_opens_a_conversation_of_one_length() -> None:
    assert received([0]) == [(0, 60, 1)]


def test_the_default_window_is_24_hours_after_the_latest_message() -> None:
    assert received([0, 24 * 60 - 1], Window()) == [(0, 48 * 60 - 1, 2)]


def test_a_message_inside_an_open_window_extends_it() -> None:
    assert received([0, 59]) == [(0, 119, 2)]


@pytest.mark.parametrize("window", [HOUR, FIXED_HOUR])
def test_a_message_at_exactly_the_end_opens_a_new_one_and_a_microsecond_earlier_does_not(window: Window) -> None:
    assert received([0, 60], window) == [(0, 60, 1), (60, 120, 1)]
    assert len(received([0, 60 - 1 / 60_000_000], window)) == 1


def test_a_late_message_counts_into_the_earlier_window_and_never_shortens_it() -> None:
    assert received([0, 50, 10]) == [(0, 110, 3)]
    assert received([0, 200, 30]) == [(0, 90, 2), (200, 260, 1)]


def test_a_late_message_before_the_start_moves_it_back_and_opens_nothing() -> None:
    party = Counterparty(HOUR).receive_all([30, 0])
    assert party.in_minutes() == [(0, 90, 2)]
    assert party.booked == 1


def test_a_late_message_a_whole_length_before_the_start_is_a_conversation_of_its_own() -> None:
    assert received([60, 0]) == [(0, 60, 1), (60, 120, 1)]


def test_a_late_message_between_two_windows_makes_them_one_and_gives_a_unit_back() -> None:
    party = Counterparty(HOUR).receive_all([0, 90])
    assert party.booked == 2
    placement = party.receive(45)
    assert party.in_minutes() == [(0, 150, 3)]
    assert party.booked == 1
    assert [item.id for item in placement.merged] == [UUID(int=2)]
    assert placement.conversation.id == UUID(int=1)


def test_what_is_merged_points_to_the_earlier_one_and_holds_no_messages_any_more() -> None:
    placement = Counterparty(HOUR).receive_all([0, 90]).receive(45)
    survivor, absorbed = placement.changed()
    assert (survivor.merged_into, absorbed.merged_into, absorbed.message_count) == (None, survivor.id, 0)


def test_windows_that_only_meet_stay_two() -> None:
    assert received([0, 90, 30]) == [(0, 90, 2), (90, 150, 1)]


def test_a_window_that_grows_takes_in_the_one_that_began_at_its_end() -> None:
    assert received([0, 60, 30]) == [(0, 120, 3)]


def test_a_fixed_window_ends_a_length_after_it_was_opened_whatever_comes() -> None:
    assert received([0, 30, 59, 60], FIXED_HOUR) == [(0, 60, 3), (60, 120, 1)]


def test_a_fixed_window_whose_first_message_came_late_keeps_its_end() -> None:
    assert received([10, 0, 65, 70], FIXED_HOUR) == [(0, 70, 3), (70, 130, 1)]


def test_a_fixed_window_never_takes_in_the_next_one() -> None:
    assert received([0, 61, 59], FIXED_HOUR) == [(0, 60, 2), (61, 121, 1)]


def test_the_message_after_the_cap_opens_a_new_conversation_inside_the_window() -> None:
    capped = Window(timedelta(hours=1), messages_max=2)
    assert received([0, 1, 2, 3, 4], capped) == [(0, 61, 2), (2, 63, 2), (4, 64, 1)]


def test_a_late_message_for_a_full_conversation_counts_into_the_one_after_it() -> None:
    capped = Window(timedelta(hours=1), messages_max=2)
    assert received([0, 10, 20, 5], capped) == [(0, 70, 2), (5, 80, 2)]


def test_conversations_that_hold_more_than_the_cap_together_stay_two() -> None:
    capped = Window(timedelta(hours=1), messages_max=3)
    assert received([0, 1, 100, 55], capped) == [(0, 115, 3), (100, 160, 1)]
    assert received([0, 100, 55], capped) == [(0, 160, 3)]


def test_of_two_open_conversations_with_room_it_is_the_one_that_started_last() -> None:
    capped = Window(timedelta(hours=1), messages_max=5)
    assert received([0, 1, 2, 100, 101, 102, 50, 105], capped) == [(0, 110, 4), (100, 165, 4)]


def test_a_window_that_the_plan_made_longer_reaches_further_at_its_next_message() -> None:
    party = Counterparty(HOUR).receive_all([0])
    party.window = Window(timedelta(hours=3))
    party.receive(59)
    assert party.in_minutes() == [(0, 59 + 180, 2)]


def test_a_window_that_the_plan_made_fixed_keeps_the_end_that_it_has() -> None:
    party = Counterparty(HOUR).receive_all([0, 30])
    party.window = FIXED_HOUR
    party.receive(80)
    assert party.in_minutes() == [(0, 90, 3)]


MINUTES = st.lists(st.integers(0, 24 * 60), min_size=1, max_size=40)
LENGTHS = st.sampled_from([1, 7, 30, 60, 240, 24 * 60]).map(after)
CAPS = st.integers(1, 6)


@given(st.data(), MINUTES, LENGTHS)
def test_extending_windows_are_the_same_in_any_order_of_arrival(data: st.DataObject, minutes: list[int], length: timedelta) -> None:
    window = Window(length)
    party = Counterparty(window).receive_all(data.draw(st.permutations(minutes)))
    assert party.spans() == in_order(minutes, window)
    assert party.booked == len(party.spans())


@given(st.data(), MINUTES, LENGTHS)
def test_fixed_windows_never_overlap_and_are_never_more_than_in_order(data: st.DataObject, minutes: list[int], length: timedelta) -> None:
    window = Window(length, extending=False)
    party = Counterparty(window).receive_all(data.draw(st.permutations(minutes)))
    spans, ordered = party.spans(), in_order(minutes, window)
    assert party.booked == len(spans) <= len(ordered)
    assert sum(span.message_count for span in spans) == len(minutes)
    assert all(one.expires_at <= other.started_at for one, other in pairwise(spans))
    if not any(_in_excess(DAY + after(minute), spans, length) for minute in minutes):
        assert [(span.started_at, span.message_count) for span in spans] == [(span.started_at, span.message_count) for span in ordered]


def _in_excess(at: datetime, spans: Sequence[Span], length: timedelta) -> bool:
    return any(span.started_at + length <= at < span.expires_at for span in spans)


@given(st.data(), MINUTES, LENGTHS, CAPS, st.booleans())
def test_capped_conversations_hold_no_more_than_the_cap_and_each_message_counts_once(
    data: st.DataObject, minutes: list[int], length: timedelta, cap: int, extending: bool
) -> None:
    window = Window(length, extending, cap)
    party = Counterparty(window).receive_all(data.draw(st.permutations(minutes)))
    assert party.booked == len(party.spans())
    assert sum(span.message_count for span in party.spans()) == len(minutes)
    assert all(1 <= span.message_count <= cap for span in party.spans())
    if extending:
        assert party.booked >= len(in_order(minutes, window))


@given(st.data(), st.lists(st.integers(0, 59), min_size=1, max_size=40), CAPS, st.booleans())
def test_capped_conversations_within_one_length_are_as_many_as_in_order(
    data: st.DataObject, minutes: list[int], cap: int, extending: bool
) -> None:
    window = Window(timedelta(hours=1), extending, cap)
    party = Counterparty(window).receive_all(data.draw(st.permutations(minutes)))
    assert party.booked == len(in_order(minutes, window)) == -(-len(minutes) // cap)
