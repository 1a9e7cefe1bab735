"""Set usage aside before work begins whose amount is not known yet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from core.metering.account import Account
from core.metering.balance import Amount, Balance
from core.metering.ports import UnitOfWork
from core.metering.reservations import TTL_DEFAULT, Reservation
from core.metering.use_case import AccountUseCase


@dataclass(frozen=True, slots=True)
class ReserveUsageCommand:
    """`ttl` is how long the usage stays set aside unless it is committed or released before."""

    customer_id: str
    amounts: Sequence[Amount]
    ttl: timedelta = TTL_DEFAULT
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """A reservation after a command, and where its features stand."""

    reservation: Reservation
    balances: Mapping[str, Balance]


class ReserveUsage(AccountUseCase[ReserveUsageCommand, Reserved, UnitOfWork]):
    """Set one or several features aside: all of them, or none.

    - Refused as consuming would be; what is held counts against the limit for everyone.
    - A hold ends by itself when its time is over, whatever became of its owner.
    """

    def features_of(self, command: ReserveUsageCommand) -> Collection[str]:
        return [amount.feature for amount in command.amounts]

    def decide(self, command: ReserveUsageCommand, account: Account, uow: UnitOfWork) -> Reserved:
        held: dict[str, int] = {}
        for item in account.usage(command.amounts):
            held[item.feature] = held.get(item.feature, 0) + item.quantity
        reservation = account.hold(held, command.ttl, command.reference)
        return Reserved(reservation, account.balances(held))
