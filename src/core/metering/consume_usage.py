"""Book usage, if the plan admits it or because the work is already done."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from core.metering.account import CLOCK_SKEW_MAX, Account
from core.metering.balance import Amount, Balance
from core.metering.ledger import InvalidOccurredAt, Origin, UsageRecord
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase


class Mode(StrEnum):
    """Whether work is to be admitted, or has been done already."""

    ENFORCE = "enforce"
    RECORD = "record"


class ConsumeUsageCommand(NamedTuple):
    """`occurred_at` (None: now) may lie in the past for recorded usage only."""

    customer_id: str
    amounts: Sequence[Amount]
    origin: Origin
    mode: Mode = Mode.ENFORCE
    occurred_at: datetime | None = None


class Consumed(NamedTuple):
    """What was booked, and where its features stand after it.

    `degraded`: it was admitted by the last known balances, while the database was away, and is booked once that is back.
    """

    records: Sequence[UsageRecord]
    balances: Mapping[str, Balance]
    degraded: bool = False

    @property
    def over_limit(self) -> bool:
        return any(record.overage for record in self.records)


class ConsumeUsage(AccountUseCase[ConsumeUsageCommand, Consumed, UnitOfWork]):
    """Consume one or several features at once: all of them, or none.

    - `enforce` (before work is done): refused where a limit does not admit it, naming the feature that bound. It happens now.
    - `record` (work already done): always booked, in the period in which it occurred, as overage if that period's limit is reached; also
      where it used nothing.
    """

    def features_of(self, command: ConsumeUsageCommand) -> Collection[str]:
        return [amount.feature for amount in command.amounts]

    def dated(self, commands: Sequence[ConsumeUsageCommand], uow: UnitOfWork) -> Iterable[tuple[Meter, datetime]]:
        for command in commands:
            if command.occurred_at is not None:
                for feature in self.features_of(command):
                    yield Meter(command.customer_id, feature), command.occurred_at

    def decide(self, command: ConsumeUsageCommand, account: Account, uow: UnitOfWork) -> Consumed:
        return consume(command, account)


def consume(command: ConsumeUsageCommand, account: Account) -> Consumed:
    """The decision itself, on whatever account. Raises what `Account.consume_all` and `Account.record` do, and PeriodNotLoaded."""
    if command.mode is Mode.ENFORCE:
        usage = account.usage(command.amounts)
        _require_now(command.occurred_at, account.now)
        records = account.consume_all(usage, command.origin)
    else:
        usage = account.work(command.amounts)
        records = [
            account.record(item.feature, item.quantity, command.origin, occurred_at=command.occurred_at, dimension=item.dimension)
            for item in usage
        ]
    return Consumed(records, account.balances(item.feature for item in usage))


def _require_now(occurred_at: datetime | None, now: datetime) -> None:
    earliest, latest = now - CLOCK_SKEW_MAX, now + CLOCK_SKEW_MAX
    if occurred_at is not None and not earliest <= occurred_at <= latest:
        raise InvalidOccurredAt(occurred_at, earliest, latest)
