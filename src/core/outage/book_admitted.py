"""Book what was admitted while the database was away."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from core.metering.account import Account
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import AccountUseCase
from core.outage.admitted import AdmittedUsage


class BookAdmitted(AccountUseCase[AdmittedUsage, None, UnitOfWork]):
    """Book a decision that was answered already: in the period in which it occurred, as overage if need be, under the ids that were told.

    It is called with the decision's own key. A decision that did commit before the connection broke, and one that is booked for the
    second time after a crash, is therefore a replay, and changes nothing.
    """

    def features_of(self, command: AdmittedUsage) -> Collection[str]:
        return [usage.feature for _, usage in command.records]

    def dated(self, commands: Sequence[AdmittedUsage], uow: UnitOfWork) -> Iterable[tuple[Meter, datetime]]:
        for command in commands:
            for feature in self.features_of(command):
                yield Meter(command.customer_id, feature), command.occurred_at

    def decide(self, command: AdmittedUsage, account: Account, uow: UnitOfWork) -> None:
        for id, usage in command.records:
            account.book(id, usage, command.origin, command.occurred_at)
