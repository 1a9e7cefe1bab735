"""The engine's rules once more, as plainly as they can be said: one list of entries, and every sum a walk through all of it.

It shares the commands with the engine, and nothing else: no period arithmetic, no counters, no locks, no batches. What it answers is
`told` below: names, numbers and instants.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

from core.metering.balance import Amount
from core.metering.consume_usage import ConsumeUsageCommand, Mode
from core.metering.correct_record import CorrectRecordCommand
from core.metering.extend_reservation import ExtendReservationCommand
from core.metering.finish_reservation import CommitReservationCommand, ReleaseReservationCommand
from core.metering.ingest_events import IngestEventCommand
from core.metering.ledger import Origin
from core.metering.reserve_usage import ReserveUsageCommand
from core.metering.use_case import Call
from core.plans.drafts import MeteredDraft
from core.plans.periods import END
from core.plans.plan import Boolean, Enforcement, Static
from tests.integration.reference_plans import NOT_IN_PLAN, PLANS, RESOLUTIONS, Owner

CAPACITY = 9_000
"""In smallest parts: no period's total goes beyond it. The engine's own is far out of reach, and set to this one."""


@dataclass(eq=False)
class Entry:
    customer_id: str
    feature: str
    quantity: int
    occurred_at: datetime
    recorded_at: datetime
    overage: int
    origin: Origin
    dimension: str | None = None
    corrects: "Entry | None" = None
    reason: str | None = None
    event_id: str | None = None
    id: UUID | None = None
    """Given by the engine; unknown where its answer does not say it."""

    def told(self) -> tuple[Any, ...]:
        return self.feature, self.quantity, self.occurred_at, self.overage, self.dimension


@dataclass(eq=False)
class Hold:
    customer_id: str
    usage: dict[str, int]
    expires_at: datetime
    reference: str | None
    id: UUID | None = None
    state: str = "held"
    actual: dict[str, int] | None = None
    late: bool = False

    def state_at(self, now: datetime) -> str:
        return "expired" if self.state == "held" and now >= self.expires_at else self.state


class Refused(Exception):
    """Takes the error's name and its facts."""


class Reference:
    """Time is set from outside, and so are the customers."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.owners: dict[str, Owner] = {}
        self.entries: list[Entry] = []
        self.holds: list[Hold] = []
        self.replies: dict[tuple[str, str], tuple[bytes, bytes]] = {}

    def outcome(self, call: Call[Any]) -> Any:
        """What the engine has to answer; the effect is in the lists afterwards."""
        command, once = call
        if command.customer_id not in self.owners:
            return "CustomerNotFound", {}
        if once and (command.customer_id, once.key) in self.replies:
            fingerprint, reply = self.replies[command.customer_id, once.key]
            return ("Replay", reply) if fingerprint == once.fingerprint else ("IdempotencyKeyReused", {"idempotency_key": once.key})
        entries = len(self.entries)
        try:
            answer = self._decide(command)
        except Refused as refusal:
            del self.entries[entries:]
            return refusal.args
        if once:
            self.replies[command.customer_id, once.key] = (once.fingerprint, repr(answer).encode())
        return answer

    def checked(self, customer_id: str, amounts: Sequence[Amount]) -> Any:
        """What consuming would be refused for, grants included; None where it would be admitted."""
        if customer_id not in self.owners:
            return "CustomerNotFound", {}
        plan = self.owners[customer_id].plan
        granted = {key: item for key, item in PLANS[plan].entitlements.items() if not isinstance(item, MeteredDraft)}
        try:
            usage = self._parts(customer_id, [amount for amount in amounts if amount.feature not in granted])
            for amount in amounts:
                match granted.get(amount.feature):
                    case Boolean(enabled=False):
                        raise Refused("FeatureNotInPlan", {"plan": plan, "feature": amount.feature})
                    case Static(value) if amount.quantity > value:
                        facts = {"plan": plan, "feature": amount.feature, "limit": value, "requested": amount.quantity}
                        raise Refused("GrantExceeded", facts)
            self._require(customer_id, usage)
        except Refused as refusal:
            return refusal.args
        return None

    def balance(self, customer_id: str, feature: str) -> tuple[Any, ...]:
        """Used, held, limit, remaining, overage, and the period's bounds."""
        used, held, limit = self.used(customer_id, feature), self.held(customer_id, feature), self.limit(customer_id, feature)
        remaining = None if limit is None else max(limit - used - held, 0)
        overage = 0 if limit is None else max(used - limit, 0)
        return (used, held, limit, remaining, overage, *self.period(customer_id, feature))

    def used(self, customer_id: str, feature: str, at: datetime | None = None) -> int:
        """Within the period that contains the instant."""
        start, end = self.period(customer_id, feature, at)
        mine = [entry for entry in self.entries if (entry.customer_id, entry.feature) == (customer_id, feature)]
        return sum(entry.quantity for entry in mine if start <= entry.occurred_at < end)

    def held(self, customer_id: str, feature: str) -> int:
        mine = [hold for hold in self.holds if hold.customer_id == customer_id and hold.state_at(self.now) == "held"]
        return sum(hold.usage.get(feature, 0) for hold in mine)

    def limit(self, customer_id: str, feature: str) -> int | None:
        limit = self._metered(customer_id, feature).limit
        return None if limit is None else int(limit * RESOLUTIONS[feature])

    def total(self, entry: Entry) -> int:
        return entry.quantity + sum(other.quantity for other in self.entries if other.corrects is entry)

    def period(self, customer_id: str, feature: str, at: datetime | None = None) -> tuple[datetime, datetime]:
        return self.owners[customer_id].period(self._metered(customer_id, feature).reset, at or self.now)

    def above_the_limit(self, customer_id: str, feature: str, at: datetime) -> int:
        """Within the period that contains the instant, by the limit as it is now."""
        limit = self.limit(customer_id, feature)
        return 0 if limit is None else max(self.used(customer_id, feature, at) - limit, 0)

    def _metered(self, customer_id: str, feature: str) -> MeteredDraft:
        found = PLANS[self.owners[customer_id].plan].entitlements.get(feature, NOT_IN_PLAN)
        assert isinstance(found, MeteredDraft)
        return found

    def _parts(self, customer_id: str, amounts: Sequence[Amount], at_least: int = 1) -> list[tuple[str, int, str | None]]:
        """The amounts in smallest parts; refused where something among them cannot be counted."""
        plan = self.owners[customer_id].plan
        usage = []
        for amount in amounts:
            match PLANS[plan].entitlements.get(amount.feature):
                case Static() | Boolean(enabled=True):
                    raise Refused("FeatureNotMetered", {"plan": plan, "feature": amount.feature})
                case Boolean() | None if amount.feature not in RESOLUTIONS:
                    raise Refused("FeatureNotInPlan", {"plan": plan, "feature": amount.feature})
            parts = int((amount.quantity * RESOLUTIONS[amount.feature]).to_integral_value(ROUND_HALF_EVEN))
            if parts < at_least:
                raise Refused("InvalidQuantity", {"feature": amount.feature})
            usage.append((amount.feature, parts, amount.dimension))
        return usage

    def _require(self, customer_id: str, usage: Sequence[tuple[str, int, str | None]]) -> None:
        plan = self.owners[customer_id].plan
        for feature in dict.fromkeys(feature for feature, _, _ in usage):
            if feature not in PLANS[plan].entitlements:
                raise Refused("FeatureNotInPlan", {"plan": plan, "feature": feature})
            requested = sum(quantity for name, quantity, _ in usage if name == feature)
            used, held, limit, remaining, _, _, end = self.balance(customer_id, feature)
            hard = self._metered(customer_id, feature).enforcement is Enforcement.HARD
            if hard and limit is not None and used + held + requested > limit:
                numbers = {"current_usage": used, "held": held, "requested": requested, "limit": limit, "remaining": remaining}
                numbers |= {"allowance": limit, "granted": 0}
                units = {name: Decimal(parts) / RESOLUTIONS[feature] for name, parts in numbers.items()}
                raise Refused("LimitExceeded", {"plan": plan, "feature": feature, **units, "resets_at": None if end == END else end})
            if used + held + requested > CAPACITY:
                raise Refused("InvalidQuantity", {"feature": feature})

    def _book(self, customer_id: str, feature: str, quantity: int, origin: Origin, at: datetime | None = None, **rest: Any) -> Entry:
        at = at or self.now
        if quantity > 0 and self.used(customer_id, feature, at) + quantity > CAPACITY:
            raise Refused("InvalidQuantity", {"feature": feature})
        before = self.above_the_limit(customer_id, feature, at)
        entry = Entry(customer_id, feature, quantity, at, self.now, 0, origin, **rest)
        self.entries.append(entry)
        entry.overage = self.above_the_limit(customer_id, feature, at) - before
        return entry

    def _within(self, occurred_at: datetime | None, back: timedelta) -> None:
        earliest, latest = self.now - back, self.now + timedelta(minutes=5)
        if occurred_at is not None and not earliest <= occurred_at <= latest:
            raise Refused("InvalidOccurredAt", {"occurred_at": occurred_at, "earliest": earliest, "latest": latest})

    def _balances(self, customer_id: str, features: Iterable[str]) -> dict[str, Any]:
        return in_order({feature: self.balance(customer_id, feature) for feature in features})

    def _decide(self, command: Any) -> Any:
        id = command.customer_id
        match command:
            case ConsumeUsageCommand():
                usage = self._parts(id, command.amounts, at_least=1 if command.mode is Mode.ENFORCE else 0)
                if command.mode is Mode.ENFORCE:
                    self._within(command.occurred_at, timedelta(minutes=5))
                    self._require(id, usage)
                else:
                    self._within(command.occurred_at, timedelta(days=35))
                at = self.now if command.mode is Mode.ENFORCE else command.occurred_at
                booked = [self._book(id, feature, parts, command.origin, at, dimension=dimension) for feature, parts, dimension in usage]
                return "Consumed", [entry.told() for entry in booked], self._balances(id, {entry.feature for entry in booked})
            case IngestEventCommand():
                if any((e.customer_id, e.origin.source, e.event_id) == (id, command.source, command.event_id) for e in self.entries):
                    return False
                ((feature, parts, dimension),) = self._parts(id, command.amounts, at_least=0)
                self._within(command.occurred_at, timedelta(days=35))
                origin = Origin(command.source, command.recorded_by)
                self._book(id, feature, parts, origin, command.occurred_at, dimension=dimension, event_id=command.event_id)
                return True
            case CorrectRecordCommand():
                entry = next((e for e in self.entries if e.customer_id == id and e.id == command.record_id), None)
                if entry is None:
                    raise Refused("RecordNotFound", {})
                quantity = int(command.quantity * RESOLUTIONS[entry.feature])
                if entry.corrects or quantity == 0 or self.total(entry) + quantity < 0:
                    raise Refused("InvalidQuantity", {"feature": entry.feature})
                origin = Origin("correction", command.recorded_by, entry.origin.reference)
                rest = {"dimension": entry.dimension, "corrects": entry, "reason": command.reason}
                correction = self._book(id, entry.feature, quantity, origin, entry.occurred_at, **rest)
                return "Corrected", correction.told(), self.balance(id, entry.feature)
            case ReserveUsageCommand():
                usage = self._parts(id, command.amounts)
                self._require(id, usage)
                held = {name: sum(parts for feature, parts, _ in usage if feature == name) for name, _, _ in usage}
                hold = Hold(id, held, self.now + command.ttl, command.reference)
                self.holds.append(hold)
        if not isinstance(command, ReserveUsageCommand):
            hold = self._finish(command)
        actual = None if hold.actual is None else in_order(hold.actual)
        balances = self._balances(id, hold.actual or hold.usage)
        return "Reserved", hold.state_at(self.now), in_order(hold.usage), actual, hold.late, balances

    def _finish(self, command: CommitReservationCommand | ReleaseReservationCommand | ExtendReservationCommand) -> Hold:
        id = command.customer_id
        hold = next((hold for hold in self.holds if hold.customer_id == id and hold.id == command.reservation_id), None)
        if hold is None:
            raise Refused("ReservationNotFound", {})
        if isinstance(command, ExtendReservationCommand):
            if hold.state_at(self.now) != "held":
                raise Refused("ReservationNotHeld", {"reservation_id": str(hold.id), "state": hold.state_at(self.now)})
            hold.expires_at = self.now + command.ttl
            return hold
        if isinstance(command, ReleaseReservationCommand):
            if hold.state == "committed":
                raise Refused("ReservationNotHeld", {"reservation_id": str(hold.id), "state": hold.state})
            hold.state = "released"
            return hold
        usage: Sequence[tuple[str, int, str | None]] = [(feature, quantity, None) for feature, quantity in hold.usage.items()]
        if command.amounts is not None:
            usage = self._parts(id, command.amounts, at_least=0)
        if hold.state != "held":
            raise Refused("ReservationNotHeld", {"reservation_id": str(hold.id), "state": hold.state})
        actual = {name: sum(parts for feature, parts, _ in usage if feature == name) for name, _, _ in usage}
        origin = Origin("reservation", command.recorded_by, hold.reference or str(hold.id))
        for feature, quantity, dimension in usage:
            if quantity:
                self._book(id, feature, quantity, origin, dimension=dimension)
        hold.late = hold.state_at(self.now) == "expired"
        hold.state, hold.actual = "committed", actual
        return hold


def in_order(by_feature: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(by_feature.items()))
