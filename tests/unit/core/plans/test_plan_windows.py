"""The window of a plan's conversations: what may be published."""

from datetime import timedelta
from decimal import Decimal

import pytest

from core.conversations.window import Window
from core.plans.drafts import MeteredDraft, PlanDraft
from core.plans.features import FeatureCatalog
from core.plans.plan import Metered
from core.products import BUILT_IN

CATALOG = FeatureCatalog(BUILT_IN)
DAY = timedelta(days=1)


def draft(window: Window | None, feature: str = "conversations") -> PlanDraft:
    return PlanDraft("starter", "Starter", {feature: MeteredDraft(Decimal(5), options=options(window))})


def options(window: Window | None) -> tuple[Window, ...]:
    return () if window is None else (window,)


def wrong_in(plan: PlanDraft) -> list[str]:
    return [".".join(mistake.location) for mistake in plan.mistakes(CATALOG)]


@pytest.mark.parametrize("window", [None, Window(), Window(timedelta(seconds=1)), Window(31 * DAY, extending=False, messages_max=1)])
def test_a_window_is_published_as_it_is(window: Window | None) -> None:
    assert draft(window).resolve(CATALOG) == {"conversations": Metered(5, options=options(window))}


@pytest.mark.parametrize("length", [timedelta(0), -DAY, timedelta(milliseconds=999), 31 * DAY + timedelta(seconds=1)])
def test_a_window_is_between_a_second_and_31_days_long(length: timedelta) -> None:
    assert wrong_in(draft(Window(length))) == ["entitlements.conversations.window.length_seconds"]


@pytest.mark.parametrize("cap", [0, -1, 1_000_001])
def test_a_cap_is_at_least_one_message(cap: int) -> None:
    assert wrong_in(draft(Window(messages_max=cap))) == ["entitlements.conversations.window.messages_max"]


def test_only_conversations_have_a_window() -> None:
    assert wrong_in(draft(Window(), "sessions")) == ["entitlements.sessions.window"]


def test_another_window_is_another_plan() -> None:
    assert Metered(5, options=(Window(),)) != Metered(5, options=(Window(extending=False),))
