"""What was agreed with customers, in PostgreSQL: the entries of their histories, and the part of it that decisions look at."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from sqlalchemy import Column, DateTime, PrimaryKeyConstraint, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSON

from core.customers.ports import TermsChanges, TermsKey, TermsReader
from core.metering.account import CustomerNotFound
from core.plans.agreement import NO_AGREEMENT, Addon, Agreement, Override, OwnAlerts, PlanVersion, ScheduledPlan
from core.plans.alerts import named
from core.plans.periods import Billing, Interval, Weekday
from core.plans.plan import Enforcement
from core.plans.terms import TermsChange
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.repository import SqlRepository
from infrastructure.sql.driver.rows import Rows, all_but_key
from infrastructure.sql.driver.schema import metadata
from infrastructure.sql.driver.statements import Driver, HotStatement

terms_change: Final = Table(
    "terms_change",
    metadata,
    Column("customer_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("effective_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("reason", Text),
    Column("change", JSON, nullable=False),
    Column("withdrawn_at", DateTime(timezone=True)),
    Column("withdrawn_by", Text),
    PrimaryKeyConstraint("customer_id", "id"),
)

_HISTORY: Final = HotStatement(
    """
    SELECT c.plan_key, c.plan_version, c.billing_anchor, c.billing_interval, c.time_zone, c.billing_interval_count, c.week_starts_on,
        c.created_at, t.*
    FROM customer AS c LEFT JOIN terms_change AS t USING (customer_id)
    WHERE c.customer_id = :id
    """
)

UNKNOWN: Final = "unknown"
"""Who made a customer whose history does not say: a release that kept none."""


def to_billing(row: Record) -> Billing:
    """The calendar in a customer's row."""
    return _billing(row["billing_anchor"], row["billing_interval"], row["time_zone"], row["billing_interval_count"], row["week_starts_on"])


def agreed_in(row: Record, at: datetime) -> tuple[PlanVersion, Agreement]:
    """The plan that a customer's row puts in force at the instant, and what holds beside it."""
    version, text = (row["plan_key"], row["plan_version"]), row["agreement"]
    if text is None:
        return version, NO_AGREEMENT
    agreement = to_agreement(text)
    return agreement.due(at) or version, agreement.at(at)


@lru_cache(maxsize=20_000)
def _billing(anchor: datetime | None, interval: str, time_zone: str, count: int, week_starts_on: str) -> Billing:
    return Billing(anchor, Interval(interval), ZoneInfo(time_zone), count, Weekday(week_starts_on))


def agreement_json(agreement: Agreement) -> str | None:
    """As it is kept with the customer; None where there is nothing in it."""
    if not agreement:
        return None
    scheduled = agreement.scheduled
    stored: dict[str, Any] = {
        "overrides": [_override_json(override) for override in agreement.overrides],
        "addons": [_addon_json(addon) for addon in agreement.addons],
    }
    if agreement.alerts:
        stored["alerts"] = {own.feature: [threshold.name for threshold in own.thresholds] for own in agreement.alerts}
    if scheduled:
        at = scheduled.effective_at.isoformat()
        stored["scheduled"] = {"id": str(scheduled.id), "plan": _plan_json(scheduled.version), "effective_at": at}
    return json.dumps(stored)


@lru_cache(maxsize=10_000)
def to_agreement(text: str | None) -> Agreement:
    """What a customer's row says beside its plan."""
    if text is None:
        return NO_AGREEMENT
    stored = json.loads(text)
    found = stored.get("scheduled")
    return Agreement(
        found and ScheduledPlan(UUID(found["id"]), _to_plan(found["plan"]), datetime.fromisoformat(found["effective_at"])),
        tuple(map(_to_override, stored["overrides"])),
        tuple(map(_to_addon, stored["addons"])),
        tuple(OwnAlerts(feature, tuple(map(named, names))) for feature, names in stored.get("alerts", {}).items()),
    )


def _plan_json(version: PlanVersion) -> dict[str, Any]:
    return {"key": version[0], "version": version[1]}


def _to_plan(stored: dict[str, Any]) -> PlanVersion:
    return stored["key"], stored["version"]


def _override_json(override: Override) -> dict[str, Any]:
    return {
        "feature": override.feature,
        "limit": override.limit,
        "enforcement": override.enforcement and override.enforcement.value,
        "until": override.until and override.until.isoformat(),
        "reason": override.reason,
    }


def _to_override(stored: dict[str, Any]) -> Override:
    return Override(
        stored["feature"],
        stored["limit"],
        stored["enforcement"] and Enforcement(stored["enforcement"]),
        stored["until"] and datetime.fromisoformat(stored["until"]),
        stored["reason"],
    )


def _addon_json(addon: Addon) -> dict[str, Any]:
    return {"plan": _plan_json(addon.version), "quantity": addon.quantity}


def _to_addon(stored: dict[str, Any]) -> Addon:
    return Addon(_to_plan(stored["plan"]), stored["quantity"])


def _billing_json(billing: Billing) -> dict[str, Any]:
    return {
        "anchor": billing.anchor and billing.anchor.isoformat(),
        "interval": billing.interval.value,
        "time_zone": billing.zone.key,
        "interval_count": billing.interval_count,
        "week_starts_on": billing.week_starts_on.value,
    }


def _to_billing(stored: dict[str, Any]) -> Billing:
    anchor = stored["anchor"]
    return _billing(
        anchor and datetime.fromisoformat(anchor),
        stored["interval"],
        stored["time_zone"],
        stored["interval_count"],
        stored["week_starts_on"],
    )


def _from_change(change: TermsChange) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    stored: dict[str, Any] = {}
    if change.plan:
        stored["plan"] = _plan_json(change.plan)
    if change.billing:
        stored["billing"] = _billing_json(change.billing)
    if change.override:
        stored["override"] = _override_json(change.override)
    if change.addon:
        stored["addon"] = _addon_json(change.addon)
    return (
        change.customer_id,
        change.id,
        change.effective_at,
        change.recorded_at,
        change.recorded_by,
        change.reason,
        json.dumps(stored),
        change.withdrawn_at,
        change.withdrawn_by,
    )


def _to_change(row: Record) -> TermsChange:
    stored = row["change"]
    return TermsChange(
        id=row["id"],
        customer_id=row["customer_id"],
        effective_at=row["effective_at"],
        recorded_at=row["recorded_at"],
        recorded_by=row["recorded_by"],
        reason=row["reason"],
        plan=_to_plan(stored["plan"]) if "plan" in stored else None,
        billing=_to_billing(stored["billing"]) if "billing" in stored else None,
        override=_to_override(stored["override"]) if "override" in stored else None,
        addon=_to_addon(stored["addon"]) if "addon" in stored else None,
        withdrawn_at=row["withdrawn_at"],
        withdrawn_by=row["withdrawn_by"],
    )


class SqlTermsChanges(SqlRepository[TermsKey, TermsChange], TermsChanges):
    """Within the transaction of a unit of work."""

    rows = Rows(terms_change, _from_change, _to_change, changing=all_but_key(terms_change))


class SqlTermsReader(TermsReader):
    """Each method is one statement, and so a transaction of its own."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def history(self, customer_id: str) -> Sequence[TermsChange]:
        return await self._connections.ask(lambda driver: read_history(driver, customer_id))


async def read_history(driver: Driver, customer_id: str) -> Sequence[TermsChange]:
    """All entries of the customer's history. Raises CustomerNotFound."""
    rows = await _HISTORY.fetch(driver, {"id": customer_id})
    if not rows:
        raise CustomerNotFound(customer_id)
    entries = [_to_change(row) for row in rows if row["id"] is not None]
    return entries if _begins(entries) else [_beginning(customer_id, rows[0]), *entries]


def _begins(entries: Iterable[TermsChange]) -> bool:
    return any(entry.plan and entry.billing and entry.counts() for entry in entries)


def _beginning(customer_id: str, row: Record) -> TermsChange:
    """Of a customer that a release made which kept no history."""
    return TermsChange(
        id=UUID(int=0),
        customer_id=customer_id,
        effective_at=row["created_at"],
        recorded_at=row["created_at"],
        recorded_by=UNKNOWN,
        plan=(row["plan_key"], row["plan_version"]),
        billing=to_billing(row),
    )
