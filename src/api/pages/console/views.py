"""What the console shows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from api.errors import told
from api.pages.console.access import NotSent, Visit
from api.pages.console.measured import Measurements
from api.pages.formats import Formats
from api.pages.usage_model import MONTHS, UsagePages
from api.v1.plans import PlanAnswer
from api.wire import to_cursor
from core.customers.list_customers import ListCustomersQuery
from core.errors import DomainError
from core.history.refusals import RefusalQuery
from core.metering.grants import GrantState, StandingGrant
from core.metering.ledger import LedgerQuery, UsageRecord
from core.metering.reservations import Reservation, ReservationState
from core.plans.agreement import NO_AGREEMENT
from core.plans.features import FeatureCatalog
from core.plans.plan import Metered, PlanNotFound
from core.plans.terms import Terms, TermsChange, TermsHistory
from core.reconciliation.drift import Drift
from core.reconciliation.reconcile import Reconcile

PAGE_SIZE: Final = 50
REFUSALS_SHOWN: Final = 20
CUSTOMERS_CHECKED_MAX: Final = 2_000


async def home(visit: Visit) -> Response:
    """Customers are what most days are about."""
    return RedirectResponse("/console/customers", 303)


def _whole(visit: Visit, name: str) -> int | None:
    text = visit.asked(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= 1):
        raise NotSent(f"{name} has to be a whole number.")
    return int(text)


async def customers(visit: Visit) -> Response:
    """All, or those that are looked for."""
    query = ListCustomersQuery(
        limit=PAGE_SIZE,
        text=visit.asked("query"),
        plan=visit.asked("plan"),
        plan_version=_whole(visit, "plan_version"),
        near_percent=_whole(visit, "near_percent"),
        before=visit.position(str),
    )
    listed = await visit.container.list_customers().execute(query)
    now = visit.container.clock()()
    asked = {name: value for name in ("query", "plan", "plan_version", "near_percent") if (value := visit.asked(name))}
    return visit.show(
        "console_customers.html",
        "customers",
        customers=[customer.at(now) for customer in listed.customers],
        plans=[plan.key for plan in await visit.container.plan_reader().all_latest()],
        asked=asked,
        following=urlencode({**asked, "cursor": to_cursor(*listed.ended)}) if listed.ended else None,
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a customer's history."""

    when: str
    plan: str
    calendar: str
    more: str
    who: str
    ahead: bool


async def customer(visit: Visit) -> Response:
    """One customer: its usage, what was agreed, what is set aside, what was granted."""
    container, write = visit.container, visit.formats
    now = container.clock()()
    found = (await container.customer_reader().get(visit.asked("id") or "")).at(now)
    catalog = await container.plan_reader().features()
    history = TermsHistory.of(await container.terms_reader().history(found.id))
    grants = await container.grant_reader().newest(found.id, PAGE_SIZE, None, feature=None, state=None, at=now)
    reservations = await container.reservation_reader().newest_in(found.id, PAGE_SIZE, None, state=ReservationState.HELD, at=now)
    plan = await container.plan_reader().applying(found.plan, found.agreement)
    refused = await container.refusals().newest(RefusalQuery(customer_id=found.id, limit=REFUSALS_SHOWN))
    alerts = await container.alert_reader().newest(found.id, REFUSALS_SHOWN, None, feature=None)
    return visit.show(
        "console_customer.html",
        "customers",
        customer=found,
        page=await UsagePages(container, Formats("en", found.billing.zone)).read(found, 12 if visit.asked("months") == "12" else 6),
        months_shown=MONTHS,
        t=write.text,
        address=f"/console/customer?{urlencode({'id': found.id})}",
        history=[_entry(change, terms, catalog, write, now) for change, terms in reversed(list(history.steps()))],
        scheduled=found.agreement.scheduled,
        overrides=[
            (item.feature, _limit(item.feature, item.limit, catalog, write), item.until and write.moment(item.until), item.reason or "")
            for item in found.agreement.overrides
        ],
        addons=[(item.version[0], item.version[1], item.quantity) for item in found.agreement.addons],
        grants=[_grant(grant, catalog, write, now) for grant in grants],
        reservations=[_reservation(item, catalog, write, now) for item in reservations],
        refusals=[(write.moment(item.at), item.operation, item.kind.value, item.message, item.request_id) for item in refused],
        alerts=[
            (write.moment(item.raised_at), item.feature, item.name, _limit(item.feature, item.used, catalog, write)) for item in alerts
        ],
        plans=[item.key for item in await container.plan_reader().all_latest()],
        features=[key for key, item in plan.entitlements.items() if isinstance(item, Metered)],
    )


def _limit(feature: str, limit: int | None, catalog: FeatureCatalog, write: Formats) -> str:
    declared = catalog.get(feature)
    if limit is None or declared is None:
        return write.text("unlimited")
    return write.amount(limit, declared)


def _entry(change: TermsChange, terms: Terms, catalog: FeatureCatalog, write: Formats, now: datetime) -> Entry:
    billing, agreement = terms.billing, terms.agreement
    more = [f"{item.feature}: {_limit(item.feature, item.limit, catalog, write)}" for item in agreement.overrides]
    more += [f"{item.version[0]} × {item.quantity}" for item in agreement.addons]
    count = "" if billing.interval_count == 1 else f"{billing.interval_count} "
    return Entry(
        when=write.moment(change.effective_at),
        plan=f"{terms.plan[0]} v{terms.plan[1]}",
        calendar=f"{count}{billing.interval.value}, {billing.zone.key}",
        more=", ".join(more),
        who=change.recorded_by + (f" ({change.reason})" if change.reason else ""),
        ahead=change.effective_at > now,
    )


def _grant(standing: StandingGrant, catalog: FeatureCatalog, write: Formats, now: datetime) -> dict[str, Any]:
    grant, feature = standing.grant, catalog.get(standing.grant.feature)
    assert feature is not None, "something of it was granted"
    state = grant.state_at(now, standing.left)
    return {
        "id": grant.id,
        "feature": grant.feature,
        "kind": grant.kind.value,
        "quantity": write.amount(grant.quantity, feature),
        "used": write.bare(standing.burnt, feature),
        "left": write.bare(standing.left, feature),
        "state": state.value,
        "expires": "never" if grant.expires_at is None else write.moment(grant.expires_at),
        "who": grant.created_by or "",
        "reason": grant.reason or grant.reference or "",
        "is_open": state in (GrantState.ACTIVE, GrantState.SCHEDULED) and grant.kind.value != "rollover",
    }


def _reservation(reservation: Reservation, catalog: FeatureCatalog, write: Formats, now: datetime) -> dict[str, Any]:
    held = []
    for key in reservation.held:
        feature = catalog.get(key)
        if feature is not None:
            held.append(write.amount(reservation.held_at(key, now), feature))
    return {
        "id": reservation.id,
        "held": ", ".join(held),
        "expires": write.moment(reservation.expires_at),
        "reference": reservation.reference or "",
    }


async def records(visit: Visit) -> Response:
    """A customer's ledger, with a form to correct an entry."""
    container, write = visit.container, visit.formats
    customer_id = visit.asked("id") or ""
    feature, reference = visit.asked("feature"), visit.asked("reference")
    query = LedgerQuery(customer_id=customer_id, limit=PAGE_SIZE + 1, feature=feature, reference=reference, before=visit.position(UUID))
    found = await container.ledger_reader().newest(query)
    catalog = await container.plan_reader().features()
    shown = found[:PAGE_SIZE]
    asked = {name: value for name, value in (("feature", feature), ("reference", reference)) if value}
    following = (
        urlencode({"id": customer_id, **asked, "cursor": to_cursor(shown[-1].occurred_at, shown[-1].id)})
        if len(found) > PAGE_SIZE
        else None
    )
    return visit.show(
        "console_records.html",
        "customers",
        customer_id=customer_id,
        rows=[_record(record, catalog, write) for record in shown],
        features=sorted(await container.usage_sums().features(customer_id)),
        asked=asked,
        following=following,
    )


def _record(record: UsageRecord, catalog: FeatureCatalog, write: Formats) -> dict[str, Any]:
    feature = catalog.get(record.feature)
    assert feature is not None, "something of it was booked"
    return {
        "id": record.id,
        "when": write.moment(record.occurred_at),
        "recorded": write.moment(record.recorded_at),
        "feature": record.feature,
        "kind": record.dimension or "",
        "amount": write.amount(record.quantity, feature),
        "overage": write.bare(record.overage, feature) if record.overage else "",
        "reference": record.origin.reference or "",
        "who": record.origin.recorded_by or "",
        "corrects": record.corrects,
        "reason": record.reason or "",
    }


async def plans(visit: Visit) -> Response:
    """The newest version of every plan."""
    catalog = await visit.container.plan_reader().features()
    answers = [PlanAnswer.of(plan, catalog) for plan in await visit.container.plan_reader().all_latest()]
    return visit.show("console_plans.html", "plans", plans=answers)


async def plan(visit: Visit) -> Response:
    """One plan: two versions beside each other, and a draft to publish."""
    reader = visit.container.plan_reader()
    key = visit.request.path_params["key"]
    newest = await reader.latest(key)
    if newest is None:
        raise PlanNotFound(key)
    catalog = await reader.features()
    number = _whole(visit, "version") or max(newest.version - 1, 1)
    if number > newest.version:
        raise NotSent(f"{key} has {newest.version} versions.")
    older = await reader.applying((key, number), NO_AGREEMENT)
    before, after = (PlanAnswer.of(item, catalog) for item in (older, newest))
    return visit.show(
        "console_plan.html",
        "plans",
        plan=after,
        before=before,
        rows=list(_compared(before, after)),
        draft=json.dumps({"name": after.name, "entitlements": after.entitlements}, indent=2, ensure_ascii=False),
    )


def _compared(before: PlanAnswer, after: PlanAnswer) -> Sequence[tuple[str, str, str, bool]]:
    rows = []
    for key in dict.fromkeys([*after.entitlements, *before.entitlements]):
        old, new = before.entitlements.get(key), after.entitlements.get(key)
        rows.append((key, _in_words(old), _in_words(new), old != new))
    return rows


def _in_words(entitlement: Mapping[str, Any] | None) -> str:
    if entitlement is None:
        return "–"
    match entitlement["type"]:
        case "static":
            return str(entitlement["value"])
        case "boolean":
            return "included" if entitlement["enabled"] else "not included"
    limit = "unlimited" if entitlement["limit"] is None else str(entitlement["limit"])
    more = [f"{name}: {value}" for name, value in entitlement.items() if name not in ("type", "limit", "reset", "enforcement")]
    return ", ".join([f"{limit} per {entitlement['reset']}", *(["soft"] if entitlement["enforcement"] == "soft" else []), *more])


async def drift(visit: Visit) -> Response:
    """What reconcile finds: of one customer, or of the first two thousand."""
    use_case: Reconcile = visit.container.reconcile()
    customer_id = visit.asked("customer_id")
    if customer_id is None and visit.asked("all") is None:
        return visit.show("console_drift.html", "drift", customer_id=None, rows=None, looked_at=0, is_all=True)
    if customer_id is not None:
        await visit.container.customer_reader().get(customer_id)
    catalog = await visit.container.plan_reader().features()
    rows: list[dict[str, Any]] = []
    looked_at, is_all = 0, True
    async for ids in use_case.customers(customer_id):
        rows += [_drift(item, catalog, visit.formats) for item in await use_case.find(ids)]
        looked_at += len(ids)
        if looked_at >= CUSTOMERS_CHECKED_MAX:
            is_all = False
            break
    return visit.show("console_drift.html", "drift", customer_id=customer_id, rows=rows, looked_at=looked_at, is_all=is_all)


def _drift(item: Drift, catalog: FeatureCatalog, write: Formats) -> dict[str, Any]:
    feature = catalog.get(item.feature)
    assert feature is not None, "something of it was booked"
    return {
        "customer_id": item.customer_id,
        "feature": item.feature,
        "where": item.where,
        "found": write.amount(item.recorded, feature),
        "expected": write.amount(item.expected, feature),
    }


async def keys(visit: Visit) -> Response:
    """All service keys."""
    now, write = visit.container.clock()(), visit.formats
    if not visit.may_change:
        return visit.show("console_message.html", "keys", 403, title="Not allowed", message="Keys are shown to a key with the scope admin.")
    rows = [
        {
            "id": key.id,
            "name": key.name or str(key.id),
            "scope": key.scope.value,
            "created": write.moment(key.created_at),
            "used": write.moment(key.last_used_at) if key.last_used_at else "never",
            "state": "revoked" if key.revoked_at else "valid" if key.is_valid(now) else "expired",
            "expires": write.moment(key.expires_at) if key.expires_at else "never",
        }
        for key in await visit.container.service_keys().all()
    ]
    return visit.show("console_keys.html", "keys", rows=rows)


async def now(visit: Visit) -> Response:
    """What the service does at this moment."""
    return visit.show("console_now.html", "now", **await _now(visit))


async def now_numbers(visit: Visit) -> Response:
    """The part of it that changes."""
    return visit.show("console_now_numbers.html", "now", **await _now(visit))


async def _now(visit: Visit) -> dict[str, Any]:
    measurements: Measurements = visit.request.app.state.measurements
    try:
        await visit.container.health().check()
        health = "The database answers."
    except DomainError as error:
        health = told(error).detail["message"]
    waiting = await visit.container.outage_journal().everywhere()
    return {
        "rates": measurements.look(visit.container.clock()()),
        "health": health,
        "waiting": waiting.decisions,
    }
