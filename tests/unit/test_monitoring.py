"""The dashboard and the alert rules: all that they ask for is measured."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

import api.app  # noqa: F401 - with it, all that is measured is declared

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"


def alerts() -> dict[str, str]:
    (group,) = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def panels() -> list[str]:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def declared() -> set[str]:
    """The names as Prometheus sees them."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {family.name + suffix for family in REGISTRY.collect() for suffix in suffixes.get(family.type, ())}


@pytest.mark.parametrize("expression", [*alerts().values(), *panels()])
def test_every_metric_that_is_asked_for_is_measured(expression: str) -> None:
    named = set(re.findall(r"tollgate_\w+", expression))
    assert named
    assert named <= declared()


@pytest.mark.parametrize("expression", panels())
def test_every_label_of_the_dashboard_is_one_of_its_metric(expression: str) -> None:
    names = [family.name for family in REGISTRY.collect() if family.name.startswith("tollgate_")]
    labels = {(name, label) for name in names for label in getattr(REGISTRY._names_to_collectors[name], "_labelnames", ())}
    (name, *_) = (re.sub(r"_(total|bucket|sum|count)$", "", name) for name in re.findall(r"tollgate_\w+", expression))
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        assert {(name, label.strip()) for label in grouped.split(",")} - {(name, "le")} <= labels


def test_the_page_names_every_metric_that_is_measured() -> None:
    page = (MONITORING.parents[1] / "docs" / "monitoring.md").read_text()
    ours = {name for name in declared() if name.startswith("tollgate_")}
    stems = {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours}
    assert not {stem for stem in stems if stem not in page and "…" + stem.removeprefix("tollgate_outage") not in page}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus")
@pytest.mark.parametrize("arguments", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts.test.yaml")])
def test_promtool_finds_no_fault(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(("promtool", *arguments), cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
