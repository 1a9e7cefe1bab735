"""The real engine with grants, overrides, add-ons and changes of plan as its moves, against an account of it that is kept unit by unit."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.customers.override_limit import EndOverrideCommand, OverrideLimitCommand
from core.customers.put_addon import PutAddonCommand
from core.customers.put_customer import CustomerChanges, PutCustomerCommand
from core.customers.schedule_plan import SchedulePlanCommand
from core.errors import DomainError
from core.metering.balance import LimitExceeded
from core.metering.correct_record import CorrectRecordCommand
from core.metering.grants import GrantKind
from core.metering.issue_grant import IssueGrantCommand
from core.metering.void_grant import VoidGrantCommand
from core.plans.drafts import MeteredDraft, PlanDraft
from core.plans.periods import Interval
from core.plans.rollover import Rollover, RolloverDraft
from tests.integration.in_process import Engine, consume, engine_on, record
from tests.integration.service import new_id
from tests.unit.fakes.calls import calls
from tests.unit.fakes.plain_grants import PlainGrant, plainly

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
PACK = 5
VOIDED_JUST_NOW = timedelta(microseconds=1)
"""A void takes effect right after the instant at which it is asked for."""


class Story:
    """Random moves on one customer, and what is known of them."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.choice = engine, random.Random(seed)
        self.id, self.plans = new_id(), {limit: new_id(f"plan{limit}") for limit in (0, 10, 30)}
        self.pack = new_id("pack")
        self.rollover = self.choice.choice([None, Rollover(None, 1), Rollover(12, 2)])
        self.grants: dict[str, PlainGrant] = {}
        self.ids: dict[str, Any] = {}
        self.usage: defaultdict[datetime, int] = defaultdict(int)
        self.records: list[tuple[Any, datetime, int]] = []
        self.plan, self.override, self.addons = [(BEGIN, 10)], [(BEGIN, -1)], [(BEGIN, 0)]

    @property
    def now(self) -> datetime:
        return self.engine.time()

    async def begin(self) -> None:
        self.engine.now = BEGIN
        draft = self.rollover and RolloverDraft(None if self.rollover.max is None else Decimal(self.rollover.max), self.rollover.periods)
        for limit, key in self.plans.items():
            await self.engine.publish(PlanDraft(key, "Plan", {"calls": MeteredDraft(Decimal(limit), rollover=draft)}))
        await self.engine.publish(PlanDraft(self.pack, "Pack", {"calls": MeteredDraft(Decimal(PACK))}))
        changes: CustomerChanges = {"billing_anchor": BEGIN, "billing_interval": Interval.MONTH}
        command = PutCustomerCommand(customer_id=self.id, plan=self.plans[10], changes=changes, changed_by="test")
        await self.engine.container.put_customer().execute(command)

    async def move(self) -> None:
        self.engine.now = self.now + timedelta(hours=self.choice.randint(1, 200), microseconds=self.choice.randint(1, 10**6))
        moves = [self.use, self.use, self.use, self.late, self.correct, self.grant, self.grant, self.void]
        moves += [self.change_override, self.change_addons, self.change_plan, self.schedule]
        await self.choice.choice(moves)()

    async def use(self) -> None:
        quantity = self.choice.randint(1, 15)
        remaining = (await self.engine.balance(self.id, "calls")).remaining
        (outcome,) = await self.engine.container.consume_usage().execute([consume(self.id, "calls", quantity)])
        assert isinstance(outcome, LimitExceeded) == (remaining is not None and quantity > remaining), (outcome, remaining)
        if not isinstance(outcome, DomainError):
            self.note(outcome, quantity, self.now)

    async def late(self) -> None:
        at = max(self.now - timedelta(hours=self.choice.randint(0, 34 * 24), microseconds=len(self.records)), BEGIN)
        quantity = self.choice.randint(1, 15)
        (outcome,) = await self.engine.container.consume_usage().execute([record(self.id, "calls", quantity, occurred_at=at)])
        self.note(outcome, quantity, at)

    def note(self, outcome: Any, quantity: int, at: datetime) -> None:
        assert not isinstance(outcome, DomainError), outcome
        self.records.append((outcome.records[0].id, at, quantity))
        self.usage[at] += quantity

    async def correct(self) -> None:
        if self.records:
            index = self.choice.randrange(len(self.records))
            id, at, left = self.records[index]
            change = self.choice.choice([-self.choice.randint(1, left), 3]) if left else 3
            command = CorrectRecordCommand(self.id, id, Decimal(change), "mistake", "test")
            (outcome,) = await self.engine.container.correct_record().execute(calls(command))
            assert not isinstance(outcome, DomainError), outcome
            self.records[index] = (id, at, left + change)
            self.usage[at] += change

    async def grant(self) -> None:
        name, choice = f"grant {len(self.grants)}", self.choice
        effective = self.now + timedelta(days=choice.choice([0, 0, 0, 3, 20, -20]))
        expires = choice.choice([None, effective + timedelta(days=choice.randint(1, 50))])
        kind, priority = choice.choice([GrantKind.PAID, GrantKind.PROMOTIONAL]), choice.choice([50, 100, 200])
        quantity = choice.randint(1, 20)
        command = IssueGrantCommand(
            customer_id=self.id,
            feature="calls",
            quantity=Decimal(quantity),
            kind=kind,
            priority=priority,
            effective_at=effective,
            expires_at=expires,
            reference=name,
            created_by="test",
        )
        (outcome,) = await self.engine.container.issue_grant().execute(calls(command))
        assert not isinstance(outcome, DomainError), outcome
        self.ids[name] = outcome.standing.grant.id
        self.grants[name] = PlainGrant(quantity, kind, priority, effective, expires, None)

    async def void(self) -> None:
        alive = [name for name, grant in self.grants.items() if grant.ends > self.now]
        if alive:
            name = self.choice.choice(alive)
            (outcome,) = await self.engine.container.void_grant().execute(calls(VoidGrantCommand(self.id, self.ids[name], "x", "test")))
            assert not isinstance(outcome, DomainError), outcome
            self.grants[name] = self.grants[name]._replace(voided=outcome.standing.grant.ends_at)

    async def change_override(self) -> None:
        if self.override[-1][1] < 0:
            limit = self.choice.randint(0, 40)
            until = self.choice.choice([None, self.now + timedelta(days=self.choice.randint(1, 30))])
            command = OverrideLimitCommand(customer_id=self.id, feature="calls", limit=Decimal(limit), until=until, changed_by="test")
            await self.engine.container.override_limit().execute(command)
            self.override.append((self.now, limit))
            if until is not None:
                self.override.append((until, -1))
        elif self.override[-1][0] <= self.now:
            await self.engine.container.end_override().execute(EndOverrideCommand(customer_id=self.id, feature="calls", changed_by="test"))
            self.override.append((self.now, -1))

    async def change_addons(self) -> None:
        quantity = self.choice.randint(0, 3)
        await self.engine.container.put_addon().execute(
            PutAddonCommand(customer_id=self.id, plan=self.pack, quantity=quantity, changed_by="test")
        )
        self.addons.append((self.now, quantity))

    async def change_plan(self) -> None:
        if self.plan[-1][0] <= self.now:
            limit = self.choice.choice([limit for limit in self.plans if limit != self.plan[-1][1]])
            await self.engine.container.change_customer().execute(self.id, {"plan": self.plans[limit]}, "test")
            self.plan.append((self.now, limit))

    async def schedule(self) -> None:
        if self.plan[-1][0] <= self.now:
            limit = self.choice.choice([limit for limit in self.plans if limit != self.plan[-1][1]])
            at = self.now + timedelta(days=self.choice.randint(1, 30))
            command = SchedulePlanCommand(customer_id=self.id, plan=self.plans[limit], effective_at=at, changed_by="test")
            await self.engine.container.schedule_plan().execute(command)
            self.plan.append((at, limit))

    def limits(self) -> list[tuple[datetime, int]]:
        """The allowance since when."""

        def at(steps: list[tuple[datetime, int]], instant: datetime) -> int:
            return [value for since, value in sorted(steps, key=lambda step: step[0]) if since <= instant][-1]

        instants = sorted({since for steps in (self.plan, self.override, self.addons) for since, _ in steps})
        return [
            (instant, (at(self.plan, instant) if (own := at(self.override, instant)) < 0 else own) + PACK * at(self.addons, instant))
            for instant in instants
        ]


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url) as engine:
        yield engine


@pytest.mark.parametrize("seed", range(6))
async def test_what_grants_pay_for_is_what_a_plain_account_says(engine: Engine, seed: int) -> None:
    story = Story(engine, seed)
    await story.begin()
    for _ in range(40):
        await story.move()
        plain = plainly(story.grants, story.usage, story.limits(), story.rollover, BEGIN, story.now)
        balance = await engine.balance(story.id, "calls")
        limit = [limit for since, limit in story.limits() if since <= story.now][-1]
        active = sum(
            left
            for name, left in plain.left.items()
            if name not in story.grants or story.grants[name].effective <= story.now < story.grants[name].ends - VOIDED_JUST_NOW
        )
        assert balance.used == plain.allowance_used + plain.burnt + plain.uncovered
        assert balance.allowance == limit
        if balance.funds is not None:
            assert balance.overage == plain.uncovered
        if story.rollover is None and balance.funds is not None:
            assert balance.granted == active
            assert balance.limit == max(limit, plain.allowance_used) + plain.burnt + active
        assert await engine.drift(story.id) == []
    then = (await engine.container.past_accounts().read(story.id, story.now, None)).balance("calls")
    now = await engine.balance(story.id, "calls")
    assert (then.used, then.limit, then.overage, then.granted) == (now.used, now.limit, now.overage, now.granted)
    await engine.container.consume_usage().execute([record(story.id, "calls", 0)])
    found = {
        item.grant.reference or f"from {item.grant.effective_at:%Y-%m}": item.left
        for item in await engine.container.grant_reader().newest(story.id, 200, None, feature=None, state=None, at=story.now)
    }
    plain = plainly(story.grants, story.usage, story.limits(), story.rollover, BEGIN, story.now)
    assert {name: left for name, left in found.items() if left} == {name: left for name, left in plain.left.items() if left}
