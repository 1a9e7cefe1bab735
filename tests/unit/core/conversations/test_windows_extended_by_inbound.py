"""Windows that only inbound messages extend, as messaging platforms count them. Times are minutes of one day."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.conversations.message import Direction
from core.conversations.window import Extends, Window
from tests.unit.fakes.conversations_in_order import Span, conversations_in_order
from tests.unit.fakes.counterparties import DAY, Counterparty, after

HOUR = Window(timedelta(hours=1))
INBOUND_HOUR = Window(timedelta(hours=1), extends=Extends.INBOUND)
IN, OUT = Direction.INBOUND, Direction.OUTBOUND


def exchanged(*messages: tuple[float, Direction], window: Window = INBOUND_HOUR) -> list[tuple[float, float, int]]:
    party = Counterparty(window)
    for minute, direction in messages:
        party.receive(minute, direction)
    return party.in_minutes()


def test_outbound_counts_into_the_open_window_and_does_not_extend_it() -> None:
    assert exchanged((0, IN), (30, OUT)) == [(0, 60, 2)]
    assert exchanged((0, IN), (30, OUT), (40, IN), (99, OUT)) == [(0, 100, 4)]


def test_where_every_message_extends_outbound_does_so_too() -> None:
    assert exchanged((0, IN), (30, OUT), window=HOUR) == [(0, 90, 2)]


def test_outbound_opens_a_window_of_one_length_which_inbound_extends_and_outbound_does_not() -> None:
    assert exchanged((0, OUT), (30, OUT), (60, OUT)) == [(0, 60, 2), (60, 120, 1)]
    assert exchanged((0, OUT), (30, IN)) == [(0, 90, 2)]


def test_late_outbound_before_the_start_moves_it_back() -> None:
    assert exchanged((30, IN), (0, OUT)) == [(0, 90, 2)]


def test_late_outbound_between_two_windows_leaves_them_two() -> None:
    assert exchanged((0, IN), (90, IN), (45, OUT)) == [(0, 60, 2), (90, 150, 1)]
    assert exchanged((0, IN), (90, IN), (45, IN)) == [(0, 150, 3)]


def test_a_window_that_outbound_opened_before_its_first_message_came_keeps_its_end() -> None:
    assert exchanged((30, OUT), (0, IN)) == [(0, 90, 2)]


def test_a_fixed_window_is_extended_by_neither() -> None:
    fixed = Window(timedelta(hours=1), extending=False, extends=Extends.INBOUND)
    assert exchanged((0, IN), (30, IN), (40, OUT), window=fixed) == [(0, 60, 3)]


LENGTHS = st.sampled_from([1, 7, 30, 60, 240, 24 * 60]).map(after)
EXCHANGES = st.lists(st.tuples(st.integers(0, 24 * 60), st.sampled_from(Direction)), min_size=1, max_size=40)


def in_order_both_ways(messages: Iterable[tuple[int, Direction]], window: Window) -> list[Span]:
    inbound = [DAY + after(minute) for minute, direction in messages if direction is IN]
    return conversations_in_order(inbound, window, [DAY + after(minute) for minute, direction in messages if direction is OUT])


@given(st.data(), EXCHANGES, LENGTHS)
def test_where_every_message_extends_its_direction_makes_no_difference(
    data: st.DataObject, messages: list[tuple[int, Direction]], length: timedelta
) -> None:
    party = Counterparty(Window(length))
    for minute, direction in data.draw(st.permutations(messages)):
        party.receive(minute, direction)
    assert party.spans() == conversations_in_order([DAY + after(minute) for minute, _ in messages], Window(length))


@given(st.data(), EXCHANGES, LENGTHS)
def test_windows_that_inbound_extends_are_those_of_the_sorted_order_where_nothing_comes_after_a_later_outbound(
    data: st.DataObject, messages: list[tuple[int, Direction]], length: timedelta
) -> None:
    window = Window(length, extends=Extends.INBOUND)
    party = Counterparty(window)
    for minute, direction in _outbound_after_what_was_sent_before(data.draw(st.permutations(messages))):
        party.receive(minute, direction)
    assert party.spans() == in_order_both_ways(messages, window)
    assert party.booked == len(party.spans())


def _outbound_after_what_was_sent_before(messages: Iterable[tuple[int, Direction]]) -> Iterable[tuple[int, Direction]]:
    waiting = list(messages)
    while waiting:
        message = waiting[0]
        earlier = sorted(item for item in waiting if item < message) if message[1] is OUT else []
        for item in (*earlier, message):
            waiting.remove(item)
            yield item


@given(EXCHANGES, LENGTHS)
def test_windows_that_inbound_extends_never_overlap_and_are_never_more_than_in_order(
    messages: list[tuple[int, Direction]], length: timedelta
) -> None:
    window = Window(length, extends=Extends.INBOUND)
    party = Counterparty(window)
    for minute, direction in messages:
        party.receive(minute, direction)
    spans = party.spans()
    assert party.booked == len(spans) <= len(in_order_both_ways(messages, window))
    assert sum(span.message_count for span in spans) == len(messages)
    assert all(one.expires_at <= other.started_at for one, other in pairwise(spans))
