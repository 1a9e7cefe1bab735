"""The window of a plan's conversations, in a plan file."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from core.conversations.window import Extends, Window
from core.plans.drafts import MeteredDraft
from core.products import BUILT_IN, OPTIONS
from infrastructure.plan_files.reader import PlanFileError, read_plan_file


def entitlement(tmp_path: Path, window: str, feature: str = "conversations") -> object:
    path = tmp_path / "plans.yaml"
    path.write_text(f"plans:\n  a:\n    entitlements:\n      {feature}: {{type: metered, limit: 1, window: {window}}}\n")
    return read_plan_file(path, BUILT_IN, OPTIONS).plans[0].entitlements[feature]


@pytest.mark.parametrize(
    ("written", "window"),
    [
        ("null", None),
        ("{}", Window()),
        ("{length_seconds: 3600}", Window(timedelta(hours=1))),
        ("{extending: false, messages_max: 100}", Window(extending=False, messages_max=100)),
        ("{messages_max: null}", Window()),
        ("{extends: inbound}", Window(extends=Extends.INBOUND)),
        ("{extends: any}", Window()),
    ],
)
def test_a_window_is_read_with_its_defaults(tmp_path: Path, written: str, window: Window | None) -> None:
    assert entitlement(tmp_path, written) == MeteredDraft(Decimal(1), options=() if window is None else (window,))


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("24", "window: expected a window such as {length_seconds: 86400, extending: true, messages_max: null}, got 24"),
        ("{length_seconds: 0}", "window.length_seconds: expected a whole number from 1 to 2678400, got 0"),
        ("{length_seconds: 1.5}", "window.length_seconds: expected a whole number from 1 to 2678400, got 1.5"),
        ("{extending: often}", "window.extending: expected true or false, got 'often'"),
        ("{messages_max: 0}", "window.messages_max: expected a whole number from 1 to 1000000, or null, got 0"),
        ("{extends: outbound}", "window.extends: expected one of inbound, any, got 'outbound'"),
        ("{hours: 24}", "window.hours: unknown field, expected one of length_seconds, extending, messages_max, extends"),
    ],
)
def test_a_mistaken_window_is_told_with_its_line(tmp_path: Path, written: str, mistake: str) -> None:
    with pytest.raises(PlanFileError) as refusal:
        entitlement(tmp_path, written)
    assert str(refusal.value) == f"{tmp_path}/plans.yaml:4: plans.a.entitlements.conversations.{mistake}"


def test_a_window_of_another_feature_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match="only conversations are counted by windows"):
        entitlement(tmp_path, "{}", "sessions")
