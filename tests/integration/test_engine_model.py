"""The real engine on PostgreSQL against a plain-Python reference of its rules: any commands, in any order, while time moves on.

How hard it tries is hypothesis' profile: `CI=true` makes it the same every time, `--hypothesis-profile=thorough` makes it long.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from core.customers.customer import Customer
from core.customers.put_customer import CustomerChanges
from core.errors import DomainError
from core.metering.balance import Amount
from core.metering.consume_usage import ConsumeUsageCommand, Mode
from core.metering.correct_record import CorrectRecordCommand
from core.metering.extend_reservation import ExtendReservationCommand
from core.metering.finish_reservation import CommitReservationCommand, ReleaseReservationCommand
from core.metering.ingest_events import IngestEventCommand
from core.metering.ledger import LedgerQuery, Origin
from core.metering.reserve_usage import Reserved, ReserveUsageCommand
from core.metering.use_case import Call
from core.plans.features import Feature
from core.plans.periods import END, Billing, Interval
from core.plans.plan import Metered
from tests.integration.engine_commands import (
    INSTANT,
    Dated,
    Edge,
    ages,
    amount,
    amounts,
    anchors,
    batches,
    corrected_totals,
    customers,
    expected,
    is_rare,
    keys,
    records_of,
    shorts,
    skews,
    starts,
    times,
    told,
    waits,
    written,
    written_once,
    zones,
)
from tests.integration.in_process import Engine, engine_on
from tests.integration.reference_model import CAPACITY, Entry, Reference
from tests.integration.reference_plans import PLANS, RESOLUTIONS, Owner
from tests.unit.fakes.calls import calls

NOBODYS = UUID(int=0)
LEDGER_MAX = 100_000


class EngineMachine(RuleBasedStateMachine):
    """Every command goes to both; a command's customers, reservations and records are picked among those that are there."""

    runs = count(1)

    def __init__(self, engine: Engine, runner: asyncio.Runner) -> None:
        super().__init__()
        self.engine, self.runner, self.container = engine, runner, engine.container
        self.run = next(self.runs)
        self.done: list[tuple[str, Sequence[Any]]] = []
        self.reservations: list[UUID] = []

    @initialize(start=starts, anchor=anchors, interval=st.sampled_from(Interval), zone=zones, other_zone=zones)
    def two_customers(self, start: datetime, anchor: datetime | None, interval: Interval, zone: str, other_zone: str) -> None:
        self.reference = Reference(start)
        self.engine.now = start
        for name, plan, owner_zone in (("acme", "small", zone), ("globex", "large", other_zone)):
            owner = self.reference.owners[self.id(name)] = Owner(plan, anchor, interval, ZoneInfo(owner_zone))
            billing = Billing(owner.anchor, owner.interval, owner.zone)
            customer = Customer(self.id(name), plan, 1, billing, created_at=start, updated_at=start)
            self.runner.run(self.engine.put(customer))

    @rule(batch=batches(customer=customers, amounts=amounts, dated=st.none() | skews, key=keys))
    def consume(self, batch: list[dict[str, Any]]) -> None:
        self.carry_out("consume_usage", [self.consume_command(**item, mode=Mode.ENFORCE) for item in batch])

    @rule(batch=batches(customer=customers, amounts=amounts, dated=times, key=keys))
    def record(self, batch: list[dict[str, Any]]) -> None:
        self.carry_out("consume_usage", [self.consume_command(**item, mode=Mode.RECORD) for item in batch])

    def consume_command(self, customer: str, amounts: Sequence[Amount], dated: Dated, key: str | None, mode: Mode) -> Any:
        origin = Origin("api", "tests", f"order {len(amounts)}")
        once = written_once(key, customer, amounts, dated, mode)
        return Call(
            ConsumeUsageCommand(
                customer_id=self.id(customer),
                amounts=amounts,
                origin=origin,
                mode=mode,
                occurred_at=self.moment(dated, customer, amounts[0]),
            ),
            once,
        )

    @rule(batch=batches(customer=customers, amounts=amounts, seconds=st.sampled_from([1, 300, 3600, 86_400]), key=keys))
    def reserve(self, batch: list[dict[str, Any]]) -> None:
        self.carry_out("reserve_usage", [self.reserve_command(**item) for item in batch])

    def reserve_command(self, customer: str, amounts: Sequence[Amount], seconds: int, key: str | None) -> Any:
        once = written_once(key, customer, amounts, seconds)
        return Call(
            ReserveUsageCommand(customer_id=self.id(customer), amounts=amounts, ttl=timedelta(seconds=seconds), reference="order 8"), once
        )

    @precondition(lambda self: self.reference.holds)
    @rule(batch=batches(age=ages, halves=st.sampled_from([None, None, 0, 1, 2, 3]), extra=st.just([]) | amounts, stolen=is_rare, key=keys))
    def commit(self, batch: list[dict[str, Any]]) -> None:
        """What was held, or so many halves of it, and perhaps something else."""
        self.carry_out("commit_reservation", [self.commit_command(**item) for item in batch])

    def commit_command(self, age: int, halves: int | None, extra: list[Amount], stolen: bool, key: str | None) -> Any:
        customer, id, usage = self.some_reservation(age, stolen)
        actual = None
        if halves is not None:
            actual = [*(Amount(feature, Decimal(held * halves // 2) / RESOLUTIONS[feature]) for feature, held in usage.items()), *extra]
        return Call(
            CommitReservationCommand(customer_id=customer, reservation_id=id, recorded_by="tests", amounts=actual),
            written_once(key, customer, id, actual),
        )

    @precondition(lambda self: self.reference.holds)
    @rule(batch=batches(age=ages, stolen=is_rare, key=keys))
    def release(self, batch: list[dict[str, Any]]) -> None:
        self.carry_out("release_reservation", [self.release_command(**item) for item in batch])

    def release_command(self, age: int, stolen: bool, key: str | None) -> Any:
        customer, id, _ = self.some_reservation(age, stolen)
        return Call(ReleaseReservationCommand(customer, id), written_once(key, customer, id))

    @precondition(lambda self: self.reference.holds)
    @rule(batch=batches(age=ages, stolen=is_rare, seconds=st.sampled_from([1, 300, 86_400]), key=keys))
    def extend(self, batch: list[dict[str, Any]]) -> None:
        self.carry_out("extend_reservation", [self.extend_command(**item) for item in batch])

    def extend_command(self, age: int, stolen: bool, seconds: int, key: str | None) -> Any:
        customer, id, _ = self.some_reservation(age, stolen)
        return Call(ExtendReservationCommand(customer, id, timedelta(seconds=seconds)), written_once(key, customer, id, seconds))

    @precondition(lambda self: self.named())
    @rule(batch=batches(age=ages, parts=st.none() | st.integers(-8, 8), stolen=is_rare, key=keys))
    def correct(self, batch: list[dict[str, Any]]) -> None:
        """By so many parts, or by all that is left of the record."""
        self.carry_out("correct_record", [self.correct_command(**item) for item in batch])

    def correct_command(self, age: int, parts: int | None, stolen: bool, key: str | None) -> Any:
        entry = self.named()[-1 - age % len(self.named())]
        quantity = Decimal(-self.reference.total(entry) if parts is None else parts) / RESOLUTIONS[entry.feature]
        customer, id = self.id("globex") if stolen else entry.customer_id, entry.id or NOBODYS
        return Call(
            CorrectRecordCommand(customer_id=customer, record_id=id, quantity=quantity, reason="refund", recorded_by="admin"),
            written_once(key, customer, id, quantity),
        )

    def named(self) -> list[Entry]:
        """The records whose ids the engine has told."""
        return [entry for entry in self.reference.entries if entry.id]

    @rule(
        batch=batches(customer=customers, amount=amount, source=st.sampled_from(["meter 1", "meter 2"]), id=st.integers(1, 6), dated=times)
    )
    def ingest(self, batch: list[dict[str, Any]]) -> None:
        self.carry_out("ingest_events", [self.event_command(**item) for item in batch])

    def event_command(self, customer: str, amount: Amount, source: str, id: int, dated: Dated) -> Any:
        return IngestEventCommand(
            customer_id=self.id(customer),
            amounts=[amount],
            source=source,
            event_id=f"event {id}",
            recorded_by="tests",
            occurred_at=self.moment(dated, customer, amount),
        )

    @precondition(lambda self: self.done)
    @rule(age=ages)
    def repeat(self, age: int) -> None:
        """A client that did not get an answer: what had a key gets the answer of then, what had none happens again."""
        self.carry_out(*self.done[-1 - age % len(self.done)])

    @rule(customer=st.sampled_from(["acme", "globex"]), amounts=amounts)
    def check(self, customer: str, amounts: Sequence[Amount]) -> None:
        try:
            answer = self.runner.run(self.container.check_usage().execute(self.id(customer), amounts)).refusal
        except DomainError as error:
            answer = error
        assert told(answer) == self.reference.checked(self.id(customer), amounts)

    @rule(customer=st.sampled_from(["acme", "globex"]), plan=st.sampled_from(sorted(PLANS)))
    def change_plan(self, customer: str, plan: str) -> None:
        self.reference.owners[self.id(customer)].plan = plan
        self.change(customer, {"plan": plan})

    @rule(customer=st.sampled_from(["acme", "globex"]), days=st.none() | st.integers(-60, 400), interval=st.sampled_from(Interval))
    def move_anchor(self, customer: str, days: int | None, interval: Interval) -> None:
        anchor = None if days is None else self.reference.now - timedelta(days)
        owner = self.reference.owners[self.id(customer)]
        owner.anchor, owner.interval = anchor, interval
        self.change(customer, {"billing_anchor": anchor, "billing_interval": interval})

    @rule(customer=st.sampled_from(["acme", "globex"]), zone=zones)
    def move_to_time_zone(self, customer: str, zone: str) -> None:
        self.reference.owners[self.id(customer)].zone = ZoneInfo(zone)
        self.change(customer, {"time_zone": zone})

    @rule(passing=waits)
    def time_passes(self, passing: timedelta) -> None:
        self.set_time(self.reference.now + passing)

    @rule(
        customer=st.sampled_from(["acme", "globex"]),
        feature=st.sampled_from(["calls", "storage", "tokens"]),
        short_of=shorts,
    )
    def time_passes_to_the_end_of_a_period(self, customer: str, feature: str, short_of: timedelta) -> None:
        _, end = self.reference.period(self.id(customer), feature)
        if end < END:
            self.set_time(end - short_of)

    @precondition(lambda self: self.reference.holds)
    @rule(age=ages, short_of=shorts)
    def time_passes_to_a_reservations_expiry(self, age: int, short_of: timedelta) -> None:
        holds = self.reference.holds
        self.set_time(holds[-1 - age % len(holds)].expires_at - short_of)

    @invariant()
    def everything_agrees(self) -> None:
        owners = self.reference.owners
        drift, *seen = self.runner.run(self.look())
        assert drift == []
        for (id, owner), (status, account, records) in zip(owners.items(), seen, strict=True):
            plan = [key for key in PLANS[owner.plan].entitlements if key in RESOLUTIONS]
            assert [key for key, entitlement in status.plan.entitlements.items() if isinstance(entitlement, Metered)] == plan
            assert told(status.balances(plan)) == {key: self.reference.balance(id, key) for key in plan}
            assert told(account.balances(RESOLUTIONS)) == {key: self.reference.balance(id, key) for key in RESOLUTIONS}
            entries = [entry for entry in self.reference.entries if entry.customer_id == id]
            assert Counter(map(written, records)) == Counter(map(expected, entries))
            assert min(corrected_totals(records), default=0) >= 0

    async def look(self) -> Sequence[Any]:
        """What disagrees, and by customer the status of its plan, the account with all features, and the ledger."""
        return await asyncio.gather(self.engine.drift(*self.reference.owners), *map(self.look_at, self.reference.owners))

    async def look_at(self, id: str) -> Sequence[Any]:
        reader, now = self.container.account_reader(), self.reference.now
        ledger = self.container.ledger_reader().newest(LedgerQuery(id, LEDGER_MAX))
        return await asyncio.gather(reader.read(id, None, now), reader.read(id, RESOLUTIONS, now), ledger)

    def carry_out(self, name: str, commands: Sequence[Any]) -> None:
        """In one call, and so in one transaction."""
        entries, holds = len(self.reference.entries), len(self.reference.holds)
        answers = [self.reference.outcome(call) for call in calls(*commands)]
        outcomes = self.runner.run(getattr(self.container, name)().execute(calls(*commands)))
        assert [told(outcome) for outcome in outcomes] == answers
        self.done.append((name, commands))
        records = [record for outcome in outcomes for record in records_of(outcome)]
        for entry, record in zip(self.reference.entries[entries:] if records else (), records, strict=True):
            entry.id = record.id
        made = [outcome.reservation for outcome in outcomes if isinstance(outcome, Reserved) and name == "reserve_usage"]
        for hold, reservation in zip(self.reference.holds[holds:], made, strict=True):
            hold.id = reservation.id

    def change(self, customer: str, changes: CustomerChanges) -> None:
        self.runner.run(self.container.change_customer().execute(self.id(customer), changes, "model"))

    def set_time(self, now: datetime) -> None:
        self.engine.now = self.reference.now = max(now, self.reference.now)

    def id(self, name: str) -> str:
        return f"{name}-{self.run}"

    def moment(self, dated: Dated, customer: str, amount: Amount) -> datetime | None:
        """An edge is one of the period in which the amount would be counted now."""
        if not isinstance(dated, Edge):
            return None if dated is None else self.reference.now + dated
        if self.id(customer) not in self.reference.owners or amount.feature not in RESOLUTIONS:
            return None
        start, end = self.reference.period(self.id(customer), amount.feature)
        return {Edge.START: start, Edge.BEFORE: start - INSTANT, Edge.END: end}[dated]

    def some_reservation(self, age: int, stolen: bool) -> tuple[str, UUID, dict[str, int]]:
        """One of the newest, named by its owner or by somebody else."""
        hold = self.reference.holds[-1 - age % len(self.reference.holds)]
        assert hold.id
        return self.id("globex") if stolen else hold.customer_id, hold.id, hold.usage


@pytest.mark.timeout(1200)  # a failure is made as small as it can be, and that takes its time
def test_the_engine_answers_as_the_reference_does(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.sql.engine.accounts.WRITTEN_AHEAD", 2)  # so that short lists are written in parts, too
    monkeypatch.setattr("core.metering.account.USED_PARTS_MAX", CAPACITY)  # so that it is reached
    with asyncio.Runner() as runner:
        opened = engine_on(database_url)
        engine = runner.run(opened.__aenter__())
        for plan in PLANS.values():
            runner.run(engine.publish(plan, RESOLUTIONS))
        runner.run(engine.container.declare_feature().execute(Feature("extras", "unit")))
        tried = settings(suppress_health_check=list(HealthCheck))
        run_state_machine_as_test(lambda: EngineMachine(engine, runner), settings=tried)
        runner.run(opened.__aexit__(None, None, None))
