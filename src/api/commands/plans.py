"""Plans as code: push, diff and show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from api.commands import CommandFailed
from api.container import Container
from core.errors import DomainError
from core.metering.event_types import EventMeter
from core.plans.alerts import ALERTS_DEFAULT, Threshold
from core.plans.features import Feature, FeatureCatalog
from core.plans.on_outage import OnOutage
from core.plans.periods import Reset
from core.plans.plan import Boolean, Entitlement, Metered, Plan, PlanNotFound, Static
from core.plans.rollover import Rollover
from infrastructure.plan_files.reader import PlanFile, PlanFileError, read_plan_file

MOVED_BY: Final = "tollgate plans move"
"""Who changed the plan, in the customers' histories."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a push did, or would do, to a plan; or to a feature or the meters of an event type, which have no version."""

    key: str
    kind: Literal["new", "changed", "unchanged", "left as it is"]
    version: int | None
    details: tuple[str, ...] = ()


async def _read(container: Container, path: Path) -> PlanFile:
    """Raises CommandFailed with every mistake in the file, a line each. Features that are declared already need not be again."""
    try:
        return read_plan_file(path, tuple(await container.plan_reader().features()), container.plan_options())
    except PlanFileError as error:
        raise CommandFailed(str(error)) from error


async def push(container: Container, path: Path) -> list[Change]:
    """Declares the features and publishes what changed. Raises CommandFailed."""
    file = await _read(container, path)
    try:
        changes = _choices(await container.plan_reader().on_outage(), file)
        for feature in file.features:
            await container.declare_feature().execute(feature, file.on_outage.get(feature.key))
        for draft in file.plans:
            before = await container.plan_reader().latest(draft.key)
            published = await container.publish_plan().execute(draft)
            changes.append(_change(before, published.plan, await container.plan_reader().features()))
        changes += await _meter_changes(container, file)
        if file.event_types:
            await container.map_event_types().execute(file.event_types)
    except DomainError as error:
        raise CommandFailed(error.message) from error
    return changes


async def diff(container: Container, path: Path) -> list[Change]:
    """What a push would do. Raises CommandFailed."""
    file = await _read(container, path)
    declared = await container.plan_reader().features()
    catalog = FeatureCatalog([*declared, *file.features])
    changes = [
        Change(f"feature {feature.key!r}", "new", None, (f"+ unit {feature.unit}, resolution {feature.resolution}",))
        for feature in file.features
        if declared.get(feature.key) is None
    ]
    changes += _choices(await container.plan_reader().on_outage(), file)
    for draft in file.plans:
        before = await container.plan_reader().latest(draft.key)
        version = before.version + 1 if before else 1
        after = Plan(draft.key, version, draft.name, draft.resolve(catalog))
        changes.append(_change(before, before if before and after.same_content(before) else after, catalog))
    changes += await _meter_changes(container, file)
    named = {draft.key for draft in file.plans}
    left = [plan for plan in await container.plan_reader().all_latest() if plan.key not in named]
    return changes + [Change(plan.key, "left as it is", plan.version, ("not in the file",)) for plan in left]


async def move(container: Container, key: str, say: Callable[[str], None], *, at_period_end: bool, dry_run: bool) -> bool:
    """Whether all of the plan's customers are moved, or could be. Raises CommandFailed where there is no such plan."""
    found = over = refused = 0
    try:
        async for moved in container.move_plan().execute(key, MOVED_BY, at_period_end=at_period_end, dry_run=dry_run):
            found += 1
            if moved.over:
                over += 1
                say(f"{moved.customer_id}: uses more than the new limit of {', '.join(moved.over)}")
            if moved.refused:
                refused += 1
                say(f"{moved.customer_id}: not moved. {moved.refused.message}")
    except PlanNotFound as error:
        raise CommandFailed(f"No plan {key!r}: 'tollgate plans show' lists them.") from error
    when = "at the end of their periods" if at_period_end else "now"
    would = "would be moved" if dry_run else "moved" if not at_period_end else "scheduled"
    say(f"{found - refused} of {found} customers on older versions of {key!r} {would} {when}; {over} over a new limit.")
    return not refused


def _choices(chosen: Mapping[str, OnOutage], file: PlanFile) -> list[Change]:
    """What the file says of outages, where that is not what is chosen already."""
    before = {key: chosen.get(key, OnOutage.REFUSE) for key in file.on_outage}
    return [
        Change(f"feature {key!r}", "changed", None, (f"on_outage: {before[key].value} -> {wanted.value}",))
        for key, wanted in file.on_outage.items()
        if wanted is not before[key]
    ]


async def _meter_changes(container: Container, file: PlanFile) -> list[Change]:
    mapped = await container.event_type_reader().mapped() if file.event_types else {}
    changes = []
    for wanted in file.event_types:
        known = mapped.get(wanted.key)
        unchanged = known == wanted or (known is None and not wanted.meters)
        kind: Literal["new", "changed", "unchanged"] = "unchanged" if unchanged else "changed" if known else "new"
        lines = () if unchanged else tuple(f"+ {meter_text(meter)}" for meter in wanted.meters) or ("no meters any more",)
        changes.append(Change(f"meters of {wanted.key!r}", kind, None, lines))
    return changes


def meter_text(meter: EventMeter) -> str:
    """A meter in a few words."""
    by = f", by {meter.dimension}" if meter.dimension else ""
    return f"{meter.feature}: {meter.quantity}{by}"


def told(entitlement: Entitlement, feature: Feature | None) -> str:
    """An entitlement in a few words."""
    match entitlement:
        case Metered(limit=limit, reset=reset, enforcement=enforcement, options=options, rollover=rollover):
            assert feature is not None
            amount = f"unlimited {feature.plural}" if limit is None else feature.amount(limit)
            period = "in all" if reset is Reset.NEVER else f"per {reset.value}"
            said = f"{amount} {period} ({enforcement.value})" + "".join(f" of {option}" for option in options)
            said += "" if rollover is None else f", {_rolling(rollover, feature)}"
            return said if entitlement.alerts == ALERTS_DEFAULT else f"{said}, {_alerting(entitlement.alerts)}"
        case Static(value):
            return f"{value:f}"
        case Boolean(enabled):
            return "on" if enabled else "off"


def _alerting(thresholds: Sequence[Threshold]) -> str:
    return f"alerts at {', '.join(str(threshold.value) for threshold in thresholds)} %" if thresholds else "no alerts"


def _rolling(rollover: Rollover, feature: Feature) -> str:
    how_much = "what is left" if rollover.max is None else f"up to {feature.amount(rollover.max)}"
    return f"rolling over {how_much} for {rollover.periods} period{'' if rollover.periods == 1 else 's'}"


def _change(before: Plan | None, after: Plan, catalog: FeatureCatalog) -> Change:
    if before is None:
        details = tuple(f"+ {key}: {told(value, catalog.get(key))}" for key, value in after.entitlements.items())
        return Change(after.key, "new", after.version, details)
    if after.version == before.version:
        return Change(after.key, "unchanged", after.version)
    lines = [f"name: {before.name!r} -> {after.name!r}"] if before.name != after.name else []
    for key in {**before.entitlements, **after.entitlements}:
        old, new = before.entitlements.get(key), after.entitlements.get(key)
        if old == new:
            continue
        was = told(old, catalog.get(key)) if old else "not included"
        will_be = told(new, catalog.get(key)) if new else "not included"
        lines.append(f"{key}: {was} -> {will_be}")
    return Change(after.key, "changed", after.version, tuple(lines))
