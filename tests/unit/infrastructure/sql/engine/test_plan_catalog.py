"""Plans as they are stored: an entitlement's JSON of any age is read, with the options that products declare."""

from datetime import timedelta
from typing import Any

import pytest

from core.conversations.window import Extends, Window
from core.plans.periods import Reset
from core.plans.plan import Enforcement, Metered
from core.products import OPTIONS
from infrastructure.sql.engine.plans import PlanCatalog
from tests.unit.fakes.retention import Retention

STORED = {"type": "metered", "limit": 5, "reset": "month", "enforcement": "soft"}
WINDOW = {"length_seconds": 3600, "extending": False, "messages_max": 10}


def read(*kinds: Any, **options: Any) -> object:
    row: Any = {"plan_key": "pro", "version": 3, "name": "Pro", "entitlements": {"conversations": STORED | options}}
    return PlanCatalog((), kinds).plan_of(row).entitlements["conversations"]


@pytest.mark.parametrize(
    ("stored", "window"),
    [
        (WINDOW, Window(timedelta(hours=1), extending=False, messages_max=10)),
        (WINDOW | {"extends": "inbound"}, Window(timedelta(hours=1), extending=False, messages_max=10, extends=Extends.INBOUND)),
    ],
)
def test_a_window_is_read_whether_or_not_it_was_stored_before_it_could_say_what_extends_it(stored: dict[str, Any], window: Window) -> None:
    assert read(*OPTIONS, window=stored) == Metered(5, Reset.MONTH, Enforcement.SOFT, options=(window,))


def test_an_entitlement_without_options_is_read_without() -> None:
    assert read(*OPTIONS) == Metered(5, Reset.MONTH, Enforcement.SOFT)


def test_options_are_read_in_the_order_in_which_they_are_declared_and_others_are_not() -> None:
    entitlement = read(Retention, Window, other={}, window=WINDOW, retention={"days": 7})
    assert isinstance(entitlement, Metered)
    assert entitlement.options == (Retention(7), Window.from_json(WINDOW))
