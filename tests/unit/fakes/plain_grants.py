"""Grants kept as plainly as can be: month by month, instant by instant, unit by unit. It shares no code with the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from core.metering.grants import GrantKind
from core.plans.rollover import Rollover

NEVER = datetime.max.replace(tzinfo=UTC)
RANK = {GrantKind.ROLLOVER: 0, GrantKind.PROMOTIONAL: 1, GrantKind.PAID: 3}


class PlainGrant(NamedTuple):
    """A grant as it was agreed."""

    quantity: int
    kind: GrantKind
    priority: int
    effective: datetime
    expires: datetime | None
    voided: datetime | None

    @property
    def ends(self) -> datetime:
        return min(self.expires or NEVER, self.voided or NEVER)


@dataclass
class Plainly:
    """What comes of it: what is left of each grant by its name, and where the last month stands."""

    left: dict[str, int]
    allowance_used: int = 0
    burnt: int = 0
    uncovered: int = 0


def plainly(
    given: Mapping[str, PlainGrant],
    usage: Mapping[datetime, int],
    limits: Sequence[tuple[datetime, int]],
    rollover: Rollover | None,
    begin: datetime,
    now: datetime,
) -> Plainly:
    """From the first of a month until now. `limits` are since when; what rolls over goes by the month that it is rolled over into."""
    grants = dict(given)
    result = Plainly({name: grant.quantity for name, grant in grants.items()})
    months = [datetime(begin.year + (begin.month - 1 + n) // 12, (begin.month - 1 + n) % 12 + 1, 1, tzinfo=UTC) for n in range(40)]
    for start, end in pairwise(months[:-4]):
        if start > now:
            break
        result.allowance_used = result.burnt = result.uncovered = 0
        inside = {start, *usage, *(at for grant in grants.values() for at in (grant.effective, grant.ends)), *(at for at, _ in limits)}
        for at in sorted(instant for instant in inside if start <= instant < end and instant <= now):
            limit = [limit for since, limit in limits if since <= at][-1]
            units, result.uncovered = result.uncovered + usage.get(at, 0), 0
            for _ in range(units):
                _unit(result, grants, limit, at, end)
        if rollover is not None and end <= now:
            limit = [limit for since, limit in limits if since < end][-1]
            name = f"from {end:%Y-%m}"
            result.left[name] = max(limit - result.allowance_used, 0)
            grants[name] = PlainGrant(0, GrantKind.ROLLOVER, 100, end, months[months.index(end) + rollover.periods], None)
            pool = sorted(
                (other for other, grant in grants.items() if grant.kind is GrantKind.ROLLOVER and end < grant.ends),
                key=lambda other: grants[other].effective,
            )
            while rollover.max is not None and sum(result.left[other] for other in pool) > rollover.max:
                result.left[next(other for other in pool if result.left[other])] -= 1
    return result


def _unit(result: Plainly, grants: Mapping[str, PlainGrant], limit: int, at: datetime, end: datetime) -> None:
    sources: list[tuple[tuple[object, ...], str]] = [((100, end, 2), "")] if result.allowance_used < limit else []
    for name, grant in grants.items():
        if result.left[name] and grant.effective <= at < grant.ends:
            sources.append(((grant.priority, grant.expires or NEVER, RANK[grant.kind], grant.effective), name))
    if not sources:
        result.uncovered += 1
    elif name := min(sources)[1]:
        result.left[name] -= 1
        result.burnt += 1
    else:
        result.allowance_used += 1
