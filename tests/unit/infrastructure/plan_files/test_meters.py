"""A plan file's mapping of event types to features, and every mistake in it by its line."""

from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest

from core.metering.event_types import EventMeter, EventType
from core.products import BUILT_IN, OPTIONS
from infrastructure.plan_files.reader import PlanFile, PlanFileError, read_plan_file

REST = """
features:
  tokens: {unit: token}
plans:
  pro: {entitlements: {tokens: {type: metered, limit: 5}}}
"""


def read(directory: Path, meters: str) -> PlanFile:
    file = directory / "plans.yaml"
    file.write_text(dedent(meters).lstrip() + REST)
    return read_plan_file(file, BUILT_IN, OPTIONS)


def mistakes(directory: Path, meters: str) -> list[str]:
    with pytest.raises(PlanFileError) as refusal:
        read(directory, meters)
    return [line.partition("plans.yaml:")[2] for line in str(refusal.value).splitlines()]


def test_a_type_counts_towards_features_by_numbers_and_paths(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        meters:
          prompt:
            - {feature: tokens, quantity: data.usage.total, dimension: data.model}
            - {feature: ai_runs}
            - {feature: ai_cost, quantity: 0.002}
          nothing: []
        """,
    )
    prompt = (EventMeter("tokens", "data.usage.total", "data.model"), EventMeter("ai_runs"), EventMeter("ai_cost", Decimal("0.002")))
    assert found.event_types == (EventType("prompt", prompt), EventType("nothing", ()))


def test_a_file_without_meters_maps_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "").event_types == ()


@pytest.mark.parametrize(
    ("meter", "mistake"),
    [
        ("{feature: tokns}", "3: meters.prompt.0.feature: expected a declared feature, got 'tokns'; did you mean 'tokens'?"),
        ("{feature: tokens, quantity: usage.total}", "3: meters.prompt.0.quantity: expected a number of at least 0, or a path into"),
        ("{feature: tokens, quantity: -1}", "3: meters.prompt.0.quantity: expected a number of at least 0, or a path into"),
        ("{feature: tokens, dimension: model}", "3: meters.prompt.0.dimension: expected a path into the event's data"),
        ("{quantity: 1}", "2: meters.prompt.0.feature: expected a declared feature, got nothing"),
        ("{feature: tokens, unit: x}", "3: meters.prompt.0.unit: unknown field, expected one of feature, quantity, dimension"),
        ("tokens", "2: meters.prompt.0: expected a meter such as {feature: tokens, quantity: data.usage.total}, got 'tokens'"),
    ],
)
def test_each_mistake_is_named_with_its_line(tmp_path: Path, meter: str, mistake: str) -> None:
    found = mistakes(tmp_path, f"meters:\n  prompt:\n    - {meter}\n")
    assert found[0].startswith(mistake), found


def test_what_is_no_list_is_named(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "meters:\n  prompt: tokens\n") == ["2: meters.prompt: expected a list of at most 20 meters, got 'tokens'"]
