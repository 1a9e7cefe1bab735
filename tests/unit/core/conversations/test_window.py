"""The window as an option of plans. What may be published is in `tests/unit/core/plans/test_plan_windows.py`."""

from datetime import timedelta

import pytest

from core.conversations.message import Direction
from core.conversations.window import Extends, Window, window_of
from core.plans.plan import Metered

WINDOWS = [Window(), Window(timedelta(hours=1), extending=False, messages_max=5), Window(extends=Extends.INBOUND)]


@pytest.mark.parametrize("window", WINDOWS)
def test_what_a_window_is_written_as_is_read_as_the_same_window(window: Window) -> None:
    assert Window.from_json(window.to_json()) == window
    assert window.to_json().keys() == {part.name for part in Window.parts}


def test_a_window_that_was_stored_before_it_could_say_what_extends_it_is_extended_by_any_message() -> None:
    stored = {"length_seconds": 3600, "extending": True, "messages_max": 10}
    assert Window.from_json(stored) == Window(timedelta(hours=1), messages_max=10, extends=Extends.ANY)


def test_the_default_of_each_part_is_the_default_window() -> None:
    assert Window.from_json({}) == Window()


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window(), "86400 s after the latest message"),
        (Window(extends=Extends.INBOUND), "86400 s after the latest inbound message"),
        (Window(timedelta(hours=1), extending=False, messages_max=5), "3600 s from the first message, at most 5 messages"),
    ],
)
def test_a_window_says_in_one_line_what_it_is(window: Window, text: str) -> None:
    assert str(window) == text


@pytest.mark.parametrize(
    ("window", "directions"),
    [
        (Window(), {Direction.INBOUND, Direction.OUTBOUND}),
        (Window(extends=Extends.INBOUND), {Direction.INBOUND}),
        (Window(extending=False), set()),
        (Window(extending=False, extends=Extends.INBOUND), set()),
    ],
)
def test_which_messages_extend_a_window(window: Window, directions: set[Direction]) -> None:
    assert {direction for direction in Direction if window.is_extended_by(direction)} == directions


def test_an_entitlement_without_a_window_has_the_default_one() -> None:
    assert window_of(Metered(1)) == Window()
    assert window_of(Metered(1, options=(WINDOWS[1],))) == WINDOWS[1]
