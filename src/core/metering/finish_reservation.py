"""End a reservation: commit what was really used, or release it."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from core.metering.account import Account
from core.metering.balance import Amount, Usage
from core.metering.ledger import Origin
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


class FinishReservation(AccountUseCase[C, Reserved, UnitOfWork]):
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
        after = self.finish(command, before, account)
        return Reserved(after, account.balances(after.actual or after.usage))

    @abstractmethod
    def finish(self, command: C, reservation: Reservation, account: Account) -> Reservation:
        """The reservation's last state, booked on the account."""


@dataclass(frozen=True, slots=True)
class CommitReservationCommand:
    """`amounts` is what was really used; None: what was held."""

    customer_id: str
    reservation_id: UUID
    recorded_by: str
    amounts: Sequence[Amount] | None = None


class CommitReservation(FinishReservation[CommitReservationCommand]):
    """Book what was really used, less or more than was held, and end the hold.

    - The work is done, so it is always booked: also above the hold, above the limit, and after the hold has expired (`late`).
    - Once: a second commit, or the commit of a released reservation, is refused.
    """

    def features_of(self, command: CommitReservationCommand) -> Collection[str]:
        return [amount.feature for amount in command.amounts or ()]

    def finish(self, command: CommitReservationCommand, reservation: Reservation, account: Account) -> Reservation:
        held = [Usage(feature, quantity) for feature, quantity in reservation.usage.items()]
        work = held if command.amounts is None else account.work(command.amounts)
        committed = reservation.committed(_by_feature(work), account.now)
        account.settle(reservation, committed)
        origin = Origin("reservation", command.recorded_by, reservation.reference or str(reservation.id))
        for item in work:
            if item.quantity:
                account.record(item.feature, item.quantity, origin, dimension=item.dimension)
        return committed


@dataclass(frozen=True, slots=True)
class ReleaseReservationCommand:
    """Names the reservation."""

    customer_id: str
    reservation_id: UUID


class ReleaseReservation(FinishReservation[ReleaseReservationCommand]):
    """Give back what was held; nothing is booked. Releasing again changes nothing; a committed reservation is refused."""

    def finish(self, command: ReleaseReservationCommand, reservation: Reservation, account: Account) -> Reservation:
        released = reservation.released(account.now)
        if released is not reservation:
            account.settle(reservation, released)
        return released


def _key(command: ReservationCommand) -> ReservationKey:
    return ReservationKey(command.customer_id, command.reservation_id)


def _by_feature(work: Sequence[Usage]) -> dict[str, int]:
    actual: dict[str, int] = {}
    for item in work:
        actual[item.feature] = actual.get(item.feature, 0) + item.quantity
    return actual
