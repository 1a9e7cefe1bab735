"""What a limit is made of, and one plain sentence that says where it stands: pure arithmetic on what was read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from core.metering.balance import Balance
from core.metering.grants import GrantKind
from core.metering.ledger import UsageRecord
from core.plans.agreement import Addon, Override, plan_with
from core.plans.features import Feature
from core.plans.periods import Period
from core.plans.plan import Metered, Plan, Static

LARGEST_MAX: Final = 5
"""How many of the largest ledger entries are shown."""

HOLDS_MAX: Final = 50
"""How many of the largest holds are shown."""


class SourceKind(StrEnum):
    """Where a part of a limit comes from."""

    PLAN = "plan"
    OVERRIDE = "override"
    ADDON = "addon"
    ROLLOVER = "rollover"
    GRANT = "grant"


class LimitSource(NamedTuple):
    """A part of a limit, in the feature's unit; None: unlimited.

    `id` is the key of the plan or the add-on, the id of the grant, or that of the override's entry in the plan history.
    """

    source: SourceKind
    id: str | None
    quantity: Decimal | None


class GrantPart(NamedTuple):
    """What a grant adds to the limit of one period, in smallest parts: what is burnt of it in the period, and what it has left."""

    id: UUID
    kind: GrantKind
    quantity: int


class Holding(NamedTuple):
    """What one reservation holds of a feature, in smallest parts."""

    reservation_id: UUID
    quantity: int
    expires_at: datetime
    reference: str | None


class Booked(NamedTuple):
    """A period's ledger entries: how many there are, how many of them are corrections, what all add up to, and the largest ones.

    `corrected` is what the corrections add up to; quantities are in smallest parts.
    """

    records: int
    corrections: int
    quantity: int
    corrected: int
    largest: Sequence[UsageRecord]


class Held(NamedTuple):
    """What is held of a feature, in smallest parts: in all, until when the last hold lasts, by how many, and the largest of them."""

    quantity: int
    until: datetime | None
    holds: int
    largest: Sequence[Holding]


class Burnt(NamedTuple):
    """So much of a grant, in smallest parts, was burnt by the usage of a period."""

    grant_id: UUID
    kind: GrantKind
    expires_at: datetime | None
    quantity: int


class Facts(NamedTuple):
    """What is stored of one feature and period."""

    booked: Booked
    held: Held
    burnt: Sequence[Burnt]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One feature taken to pieces. `balance` and what follows are None where the plan does not meter it."""

    sentence: str
    limit: Sequence[LimitSource] = ()
    feature: Feature | None = None
    balance: Balance | None = None
    booked: Booked | None = None
    held: Held | None = None

    @property
    def period(self) -> Period | None:
        return self.balance and self.balance.period


def limit_sources(
    key: str,
    plan: Plan,
    override: tuple[UUID | None, Override] | None,
    addons: Iterable[tuple[Addon, Plan]],
    grants: Iterable[GrantPart],
    feature: Feature | None,
) -> list[LimitSource]:
    """What the limit of a metered feature, or the number that a plan grants, is the sum of.

    An override stands in place of the plan's limit. What adds nothing is left out.
    """
    found: list[LimitSource] = []
    applied = plan if override is None else plan_with(plan, [override[1]], ())
    if isinstance(applied.entitlements.get(key), Metered | Static):
        limit = _number(applied, key, feature)
        if override is None:
            found.append(LimitSource(SourceKind.PLAN, plan.key, limit))
        else:
            found.append(LimitSource(SourceKind.OVERRIDE, None if override[0] is None else str(override[0]), limit))
    for addon, version in addons:
        before, applied = applied, plan_with(applied, (), [(version, addon.quantity)])
        after = applied.entitlements.get(key)
        if isinstance(after, Metered | Static) and after != before.entitlements.get(key):
            was, now = _number(before, key, feature), _number(applied, key, feature)
            found.append(LimitSource(SourceKind.ADDON, version.key, None if now is None else now - (was or 0)))
    for grant in grants:
        if grant.quantity and feature is not None:
            source = SourceKind.ROLLOVER if grant.kind is GrantKind.ROLLOVER else SourceKind.GRANT
            found.append(LimitSource(source, str(grant.id), feature.units(grant.quantity)))
    return found


def grant_parts(balance: Balance, burnt: Iterable[Burnt]) -> list[GrantPart]:
    """What each grant adds to the limit: what the period has burnt of it, and what it has left, if it is active.

    What a replay made of a rollover goes by an id of its own, so that rollovers are told apart by when they expire.
    """
    kinds: dict[UUID, GrantKind] = {}
    parts: dict[UUID, int] = {}
    rollovers: dict[datetime | None, UUID] = {}
    for grant_id, kind, expires_at, quantity in burnt:
        kinds[grant_id], parts[grant_id] = kind, quantity
        if kind is GrantKind.ROLLOVER:
            rollovers[expires_at] = grant_id
    for source in balance.funds.sources if balance.funds else ():
        if source.grant is not None:
            id = source.grant if source.grant in kinds else rollovers.get(source.expires_at, source.grant)
            kinds.setdefault(id, GrantKind.ROLLOVER)
            parts[id] = parts.get(id, 0) + (source.left or 0)
    return [GrantPart(id, kinds[id], quantity) for id, quantity in parts.items()]


def sentence(balance: Balance, now: datetime, zone_name: str, local: datetime | None) -> str:
    """Where a metered feature stands, in one sentence. `local` is when the last hold ends, on the clocks of that zone."""
    feature = balance.feature
    units = feature.units
    stands = f"{units(balance.used):f} used, {units(balance.held):f} held by running operations"
    if local is not None:
        stands += f" until {_clock(local, now)} {'UTC' if zone_name == 'UTC' else f'({zone_name})'}"
    if balance.limit is None:
        return f"{_capital(feature.plural)} are not limited: {stands if balance.held else f'{units(balance.used):f} used'}."
    of = f"{units(balance.used + balance.held):f} of {feature.amount(balance.limit)}"
    told = f"{of} are used or set aside: {stands}" if balance.held else f"{of} are used"
    return f"{told}." if balance.hard else f"{told}; the limit is soft, and refuses nothing."


def _clock(local: datetime, now: datetime) -> str:
    """The time of day; with the date where that is another day."""
    time = local.replace(second=0, microsecond=0).strftime("%H:%M")
    return time if local.date() == now.astimezone(local.tzinfo).date() else f"{local.date().isoformat()} {time}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(plan: Plan, key: str, feature: Feature | None) -> Decimal | None:
    match plan.entitlements.get(key):
        case Metered(limit=int() as limit) if feature is not None:
            return feature.units(limit)
        case Static(value):
            return value
        case Metered():
            return None
        case _:
            return Decimal(0)
