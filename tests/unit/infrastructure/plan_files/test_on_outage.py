"""What a plan file says of outages, of its own features and of those that are declared already."""

from pathlib import Path

from core.plans.features import Feature
from core.plans.on_outage import OnOutage
from core.products import BUILT_IN, OPTIONS
from infrastructure.plan_files.reader import PlanFile, read_plan_file


def read(directory: Path, features: str) -> PlanFile:
    file = directory / "plans.yaml"
    file.write_text(f"features:\n{features}\nplans: {{none: {{entitlements: {{}}}}}}")
    return read_plan_file(file, BUILT_IN, OPTIONS)


def test_a_feature_says_what_is_done_on_an_outage(tmp_path: Path) -> None:
    found = read(tmp_path, "  calls: {unit: call, on_outage: admit}\n  seats: {unit: seat, on_outage: refuse}\n  tokens: {unit: token}")
    assert found.on_outage == {"calls": OnOutage.ADMIT, "seats": OnOutage.REFUSE}


def test_a_products_own_feature_need_not_repeat_its_unit(tmp_path: Path) -> None:
    found = read(tmp_path, "  minutes: {on_outage: admit}")
    assert found.features == (Feature("minutes", "minute", 60),)
    assert found.on_outage == {"minutes": OnOutage.ADMIT}
