"""Options in a plan file: whichever are declared, and no others."""

from decimal import Decimal
from pathlib import Path

import pytest

from core.plans.drafts import MeteredDraft
from core.plans.features import Feature
from core.plans.options import Option
from infrastructure.plan_files.reader import PlanFileError, read_plan_file
from tests.unit.fakes.retention import Retention, Where


def entitlement(tmp_path: Path, option: str, *kinds: type[Option]) -> object:
    path = tmp_path / "plans.yaml"
    path.write_text(f"plans:\n  a:\n    entitlements:\n      storage: {{type: metered, limit: 1, {option}}}\n")
    return read_plan_file(path, [Feature("storage", "GB")], kinds).plans[0].entitlements["storage"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("retention: {}", (Retention(),)),
        ("retention: {days: 9e1, where: cold}", (Retention(90, Where.COLD),)),
        ("retention: null", ()),
    ],
)
def test_a_declared_option_is_read(tmp_path: Path, written: str, read: tuple[Option, ...]) -> None:
    assert entitlement(tmp_path, written, Retention) == MeteredDraft(Decimal(1), options=read)


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("retention: 7", "retention: expected a retention such as {days: 30}, got 7"),
        ("retention: {days: 91}", "retention.days: expected a whole number from 1 to 90, got 91"),
        ("retention: {days: null}", "retention.days: expected a whole number from 1 to 90, got null"),
        ("retention: {where: hot}", "retention.where: expected one of warm, cold, got 'hot'"),
        ("retention: {day: 7}", "retention.day: unknown field, expected one of days, where; did you mean 'days'?"),
        ("window: {}", "window: unknown field, expected one of type, limit, reset, enforcement, rollover, alerts, retention"),
    ],
)
def test_what_is_no_such_option_is_named_with_what_belongs_there(tmp_path: Path, written: str, mistake: str) -> None:
    with pytest.raises(PlanFileError) as refusal:
        entitlement(tmp_path, written, Retention)
    assert str(refusal.value) == f"{tmp_path}/plans.yaml:4: plans.a.entitlements.storage.{mistake}"
