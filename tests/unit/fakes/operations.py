"""The operations product's ports in memory, faithful to the SQL adapters, and a scanner that works through its use cases."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Self, TypeVar
from zoneinfo import ZoneInfo

from core.customers.customer import Customer
from core.errors import DomainError
from core.metering.account import Account, CustomerNotFound
from core.metering.check_usage import Checked
from core.metering.grants import NoGrants
from core.metering.idempotency import Replay
from core.metering.journal import Journal
from core.metering.ledger import Breakdown, LedgerQuery, Share, UsageRecord
from core.metering.meters import Meter
from core.metering.ports import AccountReader, LedgerReader
from core.metering.records import NoRecords
from core.metering.reservations import NoReservations
from core.metering.use_case import execute_one
from core.operations.add_step import AddedStep, AddStep, AddStepCommand
from core.operations.budget import Budget, ReadBudget
from core.operations.check_budget import CheckBudget
from core.operations.features import AI_COST, AI_RUNS
from core.operations.finish_operation import FinishOperation, FinishOperationCommand
from core.operations.operation import Operation, OperationStatus
from core.operations.ports import STEPS_SHOWN_MAX, OperationKey, Operations, StepKey, Steps, WholeOperation
from core.operations.start_operation import StartOperation, StartOperationCommand
from core.operations.step import Step
from core.plans.periods import Period, Reset
from core.plans.plan import Metered, Plan
from tests.unit.fakes.examples import ACME, BILLING, NOW
from tests.unit.fakes.metering import FakeAccounts, FakeStore, FakeUnitOfWork, InMemory

DOLLAR = AI_COST.resolution
CENT = DOLLAR // 100

PREMIUM = Plan("premium", 1, "Premium", {AI_RUNS.key: Metered(30, Reset.MONTH), AI_COST.key: Metered(3 * DOLLAR, Reset.MONTH)})
ADA = replace(ACME, id="ada", plan_key="premium", plan_version=1, billing=BILLING._replace(zone=ZoneInfo("Europe/Vienna")))
BOB = replace(ADA, id="bob")

T = TypeVar("T")


class FakeOperationStore(FakeStore):
    def __init__(self, plans: Iterable[Plan] = (PREMIUM,), customers: Iterable[Customer] = (ADA, BOB)) -> None:
        super().__init__(plans, customers)
        self.operations: dict[OperationKey, Operation] = {}
        self.steps: dict[StepKey, Step] = {}

    def unit_of_work(self) -> "FakeOperationsUnitOfWork":
        return FakeOperationsUnitOfWork(self)


class FakeOperations(InMemory[OperationKey, Operation], Operations):
    """Operations in memory."""


class FakeSteps(InMemory[StepKey, Step], Steps):
    async def find_of(self, operations: Sequence[OperationKey]) -> Iterable[Step]:
        found: list[Step] = []
        for operation in operations:
            mine = sorted((step for key, step in self._stored.items() if key.operation == operation), key=lambda step: step.position)
            found += mine[:STEPS_SHOWN_MAX] + mine[STEPS_SHOWN_MAX:][-1:]
        return found


class FakeOperationsUnitOfWork(FakeUnitOfWork):
    store: FakeOperationStore
    operations: FakeOperations
    steps: FakeSteps

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.operations = self._add(FakeOperations(self.journal, self.store.operations))
        self.steps = self._add(FakeSteps(self.journal, self.store.steps))
        return self

    def check(self) -> None:
        operations = self.store.operations.keys() | {self.operations.key(operation) for operation in self.operations.saved()}
        for step in self.steps.saved():
            key = self.steps.key(step)
            assert key not in self.store.steps, "the primary key"
            assert key.operation in operations, "the foreign key"
        steps = self.store.steps | {self.steps.key(step): step for step in self.steps.saved()}
        positions = [(key.operation, step.position) for key, step in steps.items()]
        assert len(set(positions)) == len(positions), "the unique index"


class FakeAccountReader(AccountReader):
    def __init__(self, store: FakeStore) -> None:
        self._store = store

    async def read(self, customer_id: str, features: Collection[str] | None, at: datetime) -> Account:
        if customer_id not in self._store.customers:
            raise CustomerNotFound(customer_id)
        assert features is not None
        journal = Journal()
        accounts = FakeAccounts(self._store, journal, NoReservations(journal), NoRecords(journal), NoGrants(journal))
        return accounts._account(self._store.customers[customer_id], [Meter(customer_id, feature) for feature in features], at)


class FakeLedgerReader(LedgerReader):
    def __init__(self, store: FakeStore) -> None:
        self._store = store

    async def newest(self, query: LedgerQuery) -> Sequence[UsageRecord]:
        raise NotImplementedError

    async def breakdown(self, customer_id: str, periods: Mapping[str, Period], at: datetime) -> Mapping[str, Breakdown]:
        return {feature: self._breakdown(customer_id, feature, period, at) for feature, period in periods.items()}

    def _breakdown(self, customer_id: str, feature: str, period: Period, at: datetime) -> Breakdown:
        shares: dict[str | None, int] = {}
        for record in self._store.ledger:
            if (record.customer_id, record.feature) == (customer_id, feature) and record.occurred_at in period:
                shares[record.dimension] = shares.get(record.dimension, 0) + record.quantity
        return Breakdown([Share(*share) for share in shares.items()], self._store.held_at(customer_id, feature, at))


class Scanner:
    """A customer's application, by what it does at `now`."""

    def __init__(self, store: FakeOperationStore, customer: Customer = ADA, now: datetime = NOW) -> None:
        self.store = store
        self.customer = customer
        self.now = now
        parts = (store.unit_of_work, self.clock)
        self.starting, self.adding, self.finishing = StartOperation(*parts), AddStep(*parts), FinishOperation(*parts)

    def clock(self) -> datetime:
        return self.now

    async def starts(self, id: str | None = "scan", cost: str = "0.002", runs: int = 1, feature: str = "scan") -> WholeOperation:
        return new(await execute_one(self.starting, self.to_start(id, cost, runs, feature)))

    def to_start(self, id: str | None = "scan", cost: str = "0.002", runs: int = 1, feature: str = "scan") -> StartOperationCommand:
        return StartOperationCommand(
            customer_id=self.customer.id, feature=feature, estimated_cost=Decimal(cost), estimated_runs=runs, operation_id=id
        )

    async def adds(self, cost: str, billable_run: bool = False, id: str | None = None, **fields: Any) -> AddedStep:
        return new(await execute_one(self.adding, self.to_add(cost, billable_run, id, **fields)))

    def to_add(
        self, cost: str, billable_run: bool = False, id: str | None = None, to: str = "scan", feature: str = "ocr"
    ) -> AddStepCommand:
        return AddStepCommand(
            customer_id=self.customer.id,
            operation_id=to,
            feature=feature,
            cost=Decimal(cost),
            billable_run=billable_run,
            recorded_by="app",
            step_id=id,
        )

    async def adds_standalone(self, cost: str, billable_run: bool = True, id: str | None = None, feature: str = "summary") -> AddedStep:
        command = AddStepCommand(
            customer_id=self.customer.id,
            operation_id=id,
            feature=feature,
            cost=Decimal(cost),
            billable_run=billable_run,
            recorded_by="app",
            standalone=True,
        )
        return new(await execute_one(self.adding, command))

    async def completes(self, id: str = "scan") -> WholeOperation:
        return await self._finishes(id, OperationStatus.COMPLETED)

    async def fails(self, id: str = "scan") -> WholeOperation:
        return await self._finishes(id, OperationStatus.FAILED)

    async def _finishes(self, id: str, status: OperationStatus) -> WholeOperation:
        command = FinishOperationCommand(customer_id=self.customer.id, operation_id=id, status=status, recorded_by="app")
        return new(await execute_one(self.finishing, command))

    async def checks(self, cost: str, runs: int) -> Checked:
        return await CheckBudget(FakeAccountReader(self.store), self.clock).execute(self.customer.id, Decimal(cost), runs)

    async def budget(self) -> Budget:
        return await ReadBudget(FakeAccountReader(self.store), FakeLedgerReader(self.store), self.clock).execute(self.customer.id)

    async def stands(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """What is used and held of runs, and of cost in nano-dollars. The counters say the same as the ledger."""
        balances = (await FakeAccountReader(self.store).read(self.customer.id, (AI_RUNS.key, AI_COST.key), self.now)).balances(
            (AI_RUNS.key, AI_COST.key)
        )
        for feature, balance in balances.items():
            assert balance.used == self.store.used_within(self.customer.id, feature, balance.period)
        runs, cost = balances[AI_RUNS.key], balances[AI_COST.key]
        return (runs.used, runs.held), (cost.used, cost.held)

    def operation(self, id: str = "scan") -> Operation:
        return self.store.operations[OperationKey(self.customer.id, id)]

    def moves_to(self, plan: Plan) -> None:
        self.store.plans[plan.key, plan.version] = plan
        self.store.customers[self.customer.id] = replace(self.customer, plan_key=plan.key, plan_version=plan.version)


def new(outcome: T | Replay | DomainError) -> T:
    """What was done just now, and is not a repeat's stored reply."""
    assert not isinstance(outcome, Replay | DomainError)
    return outcome
