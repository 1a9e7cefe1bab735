"""A customer with grants, the commands on it, and a clock that goes on as a story says."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from core.customers.customer import Customer
from core.metering.balance import Amount, Balance
from core.metering.consume_usage import Consumed, ConsumeUsage, ConsumeUsageCommand, Mode
from core.metering.correct_record import Corrected, CorrectRecord, CorrectRecordCommand
from core.metering.grants import EntryKind, Grant, GrantKind
from core.metering.issue_grant import Granted, IssueGrant, IssueGrantCommand
from core.metering.ledger import Origin
from core.metering.reserve_usage import Reserved, ReserveUsage, ReserveUsageCommand
from core.metering.use_case import Replay, execute_one
from core.metering.void_grant import VoidGrant, VoidGrantCommand
from core.plans.plan import Metered, Plan
from core.plans.rollover import Rollover
from core.plans.terms import TermsChange
from tests.unit.fakes.examples import BILLING
from tests.unit.fakes.metering import FakeStore

PAID, PROMOTIONAL = GrantKind.PAID, GrantKind.PROMOTIONAL


def day(number: int, month: int = 11) -> datetime:
    """Noon of a day in 2026."""
    return datetime(2026, month, number, 12, tzinfo=UTC)


@dataclass
class World:
    """ACME on a plan of sessions, its period the calendar month; `at` is what the clock shows."""

    limit: int | None = 100
    rollover: Rollover | None = None
    at: datetime = datetime(2026, 11, 2, 12, tzinfo=UTC)
    store: FakeStore = field(init=False)

    def __post_init__(self) -> None:
        plan = Plan("pro", 1, "Pro", {"sessions": Metered(self.limit, rollover=self.rollover)})
        self.store = FakeStore([plan], [Customer("acme", "pro", 1, BILLING, created_at=self.at, updated_at=self.at)])

    def run(self, use_case: Callable[..., Any], command: object) -> Any:
        outcome = asyncio.run(execute_one(use_case(self.store.unit_of_work, lambda: self.at), command))
        assert not isinstance(outcome, Replay)
        return outcome

    def grant(self, quantity: int, kind: GrantKind = PAID, **more: Any) -> Grant:
        command = IssueGrantCommand(
            customer_id="acme", feature="sessions", quantity=Decimal(quantity), kind=kind, created_by="key 1", **more
        )
        granted: Granted = self.run(IssueGrant, command)
        return granted.standing.grant

    def void(self, grant: Grant) -> Granted:
        granted: Granted = self.run(VoidGrant, VoidGrantCommand("acme", grant.id, "refund", "key 1"))
        return granted

    def use(self, quantity: int, *, record: bool = False, at: datetime | None = None) -> Consumed:
        mode = Mode.RECORD if record or at else Mode.ENFORCE
        command = ConsumeUsageCommand("acme", [Amount("sessions", Decimal(quantity))], Origin("test"), mode=mode, occurred_at=at)
        consumed: Consumed = self.run(ConsumeUsage, command)
        return consumed

    def correct(self, consumed: Consumed, quantity: int) -> Corrected:
        command = CorrectRecordCommand("acme", consumed.records[0].id, Decimal(quantity), "mistake", "key 1")
        corrected: Corrected = self.run(CorrectRecord, command)
        return corrected

    def hold(self, quantity: int, ttl: timedelta) -> Reserved:
        reserved: Reserved = self.run(ReserveUsage, ReserveUsageCommand("acme", [Amount("sessions", Decimal(quantity))], ttl))
        return reserved

    def change_plan(self, limit: int | None, rollover: Rollover | None = None) -> None:
        """As of now."""
        store, customer = self.store, self.store.customers["acme"]
        version = len(store.plans) + 1
        store.plans["pro", version] = Plan("pro", version, "Pro", {"sessions": Metered(limit, rollover=rollover)})
        if not store.terms:
            self._agree(customer.created_at, 1)
        self._agree(self.at, version)
        store.customers["acme"] = Customer("acme", "pro", version, BILLING, created_at=customer.created_at, updated_at=self.at)

    def _agree(self, at: datetime, version: int) -> None:
        id = self.store.new_id()
        self.store.terms["acme", id] = TermsChange(
            id=id, customer_id="acme", effective_at=at, recorded_at=at, recorded_by="key 1", plan=("pro", version), billing=BILLING
        )

    @property
    def balance(self) -> Balance:
        """As anybody would see it now: nothing is used, and so nothing is written but what the clock has brought about."""
        return self.use(0, record=True).balances["sessions"]

    def left(self, grant: Grant) -> int:
        """What is neither burnt nor trimmed of it, by what is posted."""
        return grant.quantity + sum(entry.change for entry in self.store.entries if entry.grant_id == grant.id)

    def burnt(self, grant: Grant) -> int:
        entries = [entry for entry in self.store.entries if entry.grant_id == grant.id]
        return -sum(entry.change for entry in entries if entry.kind in (EntryKind.BURN, EntryKind.RETURN))

    def rolled(self) -> list[int]:
        """What is left of the rollovers that still count, the oldest first."""
        grants = sorted(self.store.grants.values(), key=lambda grant: grant.effective_at)
        return [self.left(grant) for grant in grants if grant.kind is GrantKind.ROLLOVER and grant.active_at(self.at)]
