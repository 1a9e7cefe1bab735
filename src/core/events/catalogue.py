"""Every type of event: when it is raised, and what its data look like."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_CUSTOMER: Final = "acme"
_GRANT_ID: Final = "0198f0c2-7d4e-7c3a-9b1e-2f6a5d8c4b10"
_FEATURE: Final[Mapping[str, Any]] = {"feature": "api_calls", "unit": "call"}
_PERIOD: Final = {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"}


class Described(NamedTuple):
    """A type of event. `example` is the `data` of one."""

    type: str
    description: str
    example: Mapping[str, Any]


def _usage(used: int, percent: float, **more: Any) -> Mapping[str, Any]:
    standing = {"used": used, "limit": 1000, "remaining": max(1000 - used, 0), "percent": percent}
    where = {"period": _PERIOD, "resets_at": _PERIOD["end"]}
    return {"customer_id": _CUSTOMER, "plan": "pro", **_FEATURE, **more, **standing, **where}


def _grant(used: int, reason: str | None = None) -> Mapping[str, Any]:
    return {
        "customer_id": _CUSTOMER,
        "grant_id": _GRANT_ID,
        **_FEATURE,
        "kind": "paid",
        "quantity": 500,
        "used": used,
        "unused": 500 - used,
        "effective_at": "2026-11-01T00:00:00Z",
        "expires_at": "2026-11-29T00:00:00Z",
        "reference": "order 7",
        "reason": reason,
    }


CATALOGUE: Final = (
    Described(
        "usage.threshold_reached",
        "Usage stands at or above a threshold. Once for each customer, feature, period and threshold, whatever brought it there: usage, "
        "another plan, another limit, a grant that ended. `used`, `limit` and `percent` are as they were then.",
        _usage(812, 81.2, threshold={"type": "percent", "value": 80}),
    ),
    Described(
        "usage.limit_reached",
        "As `usage.threshold_reached`, of the thresholds at which nothing is left: 100 percent, and 0 remaining.",
        _usage(1000, 100, threshold={"type": "percent", "value": 100}),
    ),
    Described(
        "usage.overage_recorded",
        "The first usage above the limit in a period was recorded. `overage` is what that record added; `record_id` names it.",
        _usage(1004, 100.4, overage=4, record_id="0198f0c2-9a10-7e55-8d0c-6b1f7a3e2c91"),
    ),
    Described(
        "reservation.expired",
        "A reservation was neither committed nor released in time: what it held is free again. A commit that comes late is still booked.",
        {
            "customer_id": _CUSTOMER,
            "reservation_id": "0198f0c2-5b77-7a02-9f3d-0c9e1d4a8b66",
            "reference": "job 42",
            "held": [{**_FEATURE, "quantity": 20}],
            "created_at": "2026-11-20T09:00:00Z",
            "expired_at": "2026-11-20T09:05:00Z",
        },
    ),
    Described("grant.created", "A grant was issued: paid, or promotional. What rolls over is not told.", _grant(0)),
    Described("grant.depleted", "Nothing is left of a grant. Once for each grant.", _grant(500)),
    Described(
        "grant.expiring",
        "A grant ends in 7 days, or, if it lives less than 14, half of its life is over, and something is left of it.",
        _grant(120),
    ),
    Described("grant.expired", "A grant has ended by the clock. `unused` is what was left of it.", _grant(120)),
    Described("grant.voided", "What was left of a grant, `unused`, was taken back.", _grant(120, "payment failed")),
    Described(
        "customer.plan_changed",
        "A customer is on another plan, or on another version of it: at once, or by a change that was scheduled.",
        {
            "customer_id": _CUSTOMER,
            "plan": "pro",
            "plan_version": 3,
            "previous_plan": "free",
            "previous_plan_version": 1,
            "effective_at": "2026-11-20T09:00:00Z",
            "scheduled": False,
        },
    ),
)
"""All that may be raised."""
