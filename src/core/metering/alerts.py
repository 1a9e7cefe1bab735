"""Which thresholds usage stands at or above, and what is told of it. Level, not edge: no earlier usage is compared."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from core.events.event import Event
from core.metering.balance import Balance
from core.plans.alerts import Threshold
from core.plans.periods import Period

THRESHOLD_REACHED: Final = "usage.threshold_reached"
LIMIT_REACHED: Final = "usage.limit_reached"
OVERAGE_RECORDED: Final = "usage.overage_recorded"

OVERAGE: Final = "overage"
"""What overage goes by among the thresholds of a feature: it is told once in a period, as they are."""

NEVER: Final = 1 << 62
"""More than anybody uses."""


class Watch(NamedTuple):
    """What is still to be raised of a locked feature in its current period.

    Nothing is due below a usage of `at`, as long as the limit is this one. `raised` are the names of what was raised.
    """

    limit: int | None
    at: int
    raised: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """That something was raised: once for each customer, feature, period and name. `used` and `limit` are in smallest parts."""

    customer_id: str
    feature: str
    period: Period
    name: str
    raised_at: datetime
    used: int
    limit: int | None
    event_id: UUID


class Raised(NamedTuple):
    """An alert, and the event that tells of it."""

    alert: Alert
    event: Event


def watch(thresholds: Iterable[Threshold], limit: int | None, raised: frozenset[str]) -> Watch:
    """When something is due next."""
    least = NEVER
    for threshold in thresholds:
        if raised and threshold.name in raised:
            continue
        at = threshold.reached_at(limit)
        if at is not None and at < least:
            least = at
    return Watch(limit, least, raised)


def reached(thresholds: Iterable[Threshold], balance: Balance, raised: Collection[str]) -> list[Threshold]:
    """Those that usage stands at or above and that are not raised yet, the lowest first."""
    due = []
    for threshold in thresholds:
        at = threshold.reached_at(balance.limit)
        if at is not None and balance.used >= at and threshold.name not in raised:
            due.append((at, threshold))
    return [threshold for _, threshold in sorted(due)]


def raised_threshold(customer_id: str, plan: str, threshold: Threshold, balance: Balance, at: datetime, event_id: UUID) -> Raised:
    """The alert of a threshold that was reached, and its event."""
    type = LIMIT_REACHED if threshold.is_limit else THRESHOLD_REACHED
    more = {"threshold": threshold_told(threshold, balance)}
    return _raised(type, threshold.name, customer_id, plan, balance, at, event_id, more)


def raised_overage(customer_id: str, plan: str, overage: int, balance: Balance, at: datetime, event_id: UUID, record_id: UUID) -> Raised:
    """The alert of the period's first overage, and its event. `overage` is what the record added to it."""
    more = {"overage": balance.feature.units(overage), "record_id": record_id}
    return _raised(OVERAGE_RECORDED, OVERAGE, customer_id, plan, balance, at, event_id, more)


def threshold_told(threshold: Threshold, balance: Balance) -> dict[str, object]:
    """As callers read it: percentages as they are, quantities in the feature's unit."""
    kind, value = threshold
    return {"type": kind.value, "value": value if kind.value == "percent" else balance.feature.units(value)}


def _raised(
    type: str, name: str, customer_id: str, plan: str, balance: Balance, at: datetime, event_id: UUID, more: Mapping[str, object]
) -> Raised:
    feature, limit, used, period = balance.feature, balance.limit, balance.used, balance.period
    alert = Alert(
        customer_id=customer_id,
        feature=feature.key,
        period=period,
        name=name,
        raised_at=at,
        used=used,
        limit=limit,
        event_id=event_id,
    )
    data = {
        "customer_id": customer_id,
        "plan": plan,
        "feature": feature.key,
        "unit": feature.unit,
        **more,
        "used": feature.units(used),
        "limit": None if limit is None else feature.units(limit),
        "remaining": None if limit is None else feature.units(max(limit - used, 0)),
        "percent": _percent(used, limit),
        "period": {"start": period.starts_at, "end": period.resets_at},
        "resets_at": period.resets_at,
    }
    return Raised(alert, Event(id=event_id, type=type, customer_id=customer_id, occurred_at=at, data=data))


def _percent(used: int, limit: int | None) -> Decimal | None:
    """Rounded down to a tenth: full is full. Of a limit of nothing, anything is full."""
    if limit is None:
        return None
    return Decimal(1000 * used // limit) / 10 if limit else Decimal(100)
