"""What is told of grants: that they were made or voided, ran out, or ended."""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from core.events.event import Event
from core.metering.grants import StandingGrant
from core.plans.features import Feature

GRANT_CREATED: Final = "grant.created"
GRANT_VOIDED: Final = "grant.voided"
GRANT_DEPLETED: Final = "grant.depleted"
GRANT_EXPIRING: Final = "grant.expiring"
GRANT_EXPIRED: Final = "grant.expired"


def grant_event(
    type: str, standing: StandingGrant, feature: Feature, at: datetime, new_id: Callable[[], UUID], *, occurred_at: datetime | None = None
) -> Event:
    """What happened to a grant at `at`, and where it stood then. It is told once of each grant.

    `occurred_at` is when it happened, where it is told later.
    """
    grant, burnt, left = standing
    return Event(
        id=new_id(),
        type=type,
        customer_id=grant.customer_id,
        occurred_at=occurred_at or at,
        data={
            "customer_id": grant.customer_id,
            "grant_id": grant.id,
            "feature": grant.feature,
            "unit": feature.unit,
            "kind": grant.kind.value,
            "quantity": feature.units(grant.quantity),
            "used": feature.units(burnt),
            "unused": feature.units(left),
            "effective_at": grant.effective_at,
            "expires_at": grant.expires_at,
            "reference": grant.reference,
            "reason": grant.void_reason if type == GRANT_VOIDED else grant.reason,
        },
        once=f"{type}:{grant.id}",
    )
