"""What the commands on a reservation have in common: it is found before the lock, and looked at under it."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from core.metering.account import Account
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.reservations import Reservation, ReservationKey, ReservationNotFound
from core.metering.reserve_usage import Reserved
from core.metering.use_case import AccountCommand, AccountUseCase


class ReservationCommand(AccountCommand, Protocol):
    """A command on one reservation."""

    @property
    def reservation_id(self) -> UUID: ...


C = TypeVar("C", bound=ReservationCommand)


class ReservationUseCase(AccountUseCase[C, Reserved, UnitOfWork]):
    """Finds the reservation under the lock of the features that it holds. Raises ReservationNotFound."""

    async def claims(self, commands: Sequence[C], uow: UnitOfWork) -> Mapping[str, Collection[Meter]]:
        # What a reservation was made for never changes, so it can be looked up before the lock; its state is loaded after it.
        claims = {customer_id: set(meters) for customer_id, meters in (await super().claims(commands, uow)).items()}
        for known in await uow.reservations.find(list(dict.fromkeys(map(_key, commands)))):
            claims[known.customer_id].update(Meter(known.customer_id, feature) for feature in known.usage)
        return claims

    async def load(self, commands: Sequence[C], uow: UnitOfWork) -> None:
        await uow.reservations.load(map(_key, commands))

    def decide(self, command: C, account: Account, uow: UnitOfWork) -> Reserved:
        before = account.reservation(command.reservation_id)
        if before is None:
            raise ReservationNotFound(str(command.reservation_id))
        after = self.change(command, before, account)
        return Reserved(after, account.balances(after.actual or after.usage))

    @abstractmethod
    def change(self, command: C, reservation: Reservation, account: Account) -> Reservation:
        """The reservation's next state, settled on the account."""


def _key(command: ReservationCommand) -> ReservationKey:
    return ReservationKey(command.customer_id, command.reservation_id)
