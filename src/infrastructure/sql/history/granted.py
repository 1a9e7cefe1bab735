"""What grants paid for, and what they had left, at many instants of the past: from the grants and their entries."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from asyncpg import Record

from core.history.ports import Granted
from core.metering.grants import EntryKind, Grant
from core.plans.periods import INSTANT
from infrastructure.sql.driver.statements import Driver, HotStatement
from infrastructure.sql.engine.grants import to_grant

_GRANTS: Final = HotStatement("SELECT * FROM usage_grant WHERE customer_id = :customer_id AND feature = ANY(CAST(:features AS text[]))")

_ENTRIES: Final = HotStatement(
    """
    SELECT e.grant_id, e.kind, width_bucket(e.occurred_at, CAST(:cuts AS timestamptz[])) AS n, CAST(sum(e.quantity) AS bigint) AS quantity
    FROM grant_entry AS e
    WHERE e.customer_id = :customer_id AND e.grant_id = ANY(CAST(:grant_ids AS uuid[])) AND e.occurred_at < :last
    GROUP BY 1, 2, 3
    """
)


async def granted_between(
    driver: Driver, customer_id: str, cuts: Mapping[str, Sequence[datetime]], now: datetime
) -> Mapping[str, Sequence[Granted]]:
    """By feature, what its grants did between one cut and the next, or now; features without grants are left out."""
    rows = await _GRANTS.fetch(driver, {"customer_id": customer_id, "features": list(cuts)})
    grants: defaultdict[str, list[Grant]] = defaultdict(list)
    for grant in map(to_grant, rows):
        grants[grant.feature].append(grant)
    found = {}
    for feature, known in grants.items():
        instants = cuts[feature]
        parameters: dict[str, Any] = {"customer_id": customer_id, "cuts": instants, "last": instants[-1]}
        entries = await _ENTRIES.fetch(driver, {**parameters, "grant_ids": [grant.id for grant in known]})
        found[feature] = _granted(known, entries, instants, now)
    return found


def _granted(grants: Sequence[Grant], entries: Sequence[Record], cuts: Sequence[datetime], now: datetime) -> list[Granted]:
    changes: defaultdict[tuple[UUID, int], int] = defaultdict(int)
    burnt: defaultdict[int, int] = defaultdict(int)
    for grant_id, kind, n, quantity in entries:
        changes[grant_id, n] += quantity if kind in (EntryKind.RETURN, EntryKind.ROLL) else -quantity
        if kind in (EntryKind.BURN, EntryKind.RETURN):
            burnt[n] += quantity if kind == EntryKind.BURN else -quantity
    left = [0] * len(cuts)
    for grant in grants:
        rest = grant.quantity + changes[grant.id, 0]
        for n in range(1, len(cuts)):
            rest += changes[grant.id, n]
            if grant.active_at(min(cuts[n] - INSTANT, now)):
                left[n] += rest
    return [Granted(burnt[n], left[n]) for n in range(1, len(cuts))]
