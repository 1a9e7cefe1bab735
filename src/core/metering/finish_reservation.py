"""End a reservation: commit what was really used, or release it."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from core.metering.account import Account
from core.metering.balance import Amount, Usage
from core.metering.idempotency import Idempotency
from core.metering.ledger import Origin
from core.metering.ports import UnitOfWork
from core.metering.reservations import Reservation, ReservationNotFound
from core.metering.reserve_usage import Reserved
from core.metering.use_case import AccountCommand, AccountUseCase


class ReservationCommand(AccountCommand, Protocol):
    """A command on one reservation."""

    @property
    def reservation_id(self) -> UUID: ...


C = TypeVar("C", bound=ReservationCommand)


class FinishReservation(AccountUseCase[C, Reserved, UnitOfWork, dict[UUID, Reservation]]):
    """Finds the reservation under the lock of the features that it holds. Raises ReservationNotFound."""

    async def claims(self, commands: Sequence[C], uow: UnitOfWork) -> Mapping[str, Collection[str]]:
        # What a reservation was made for never changes, so it can be looked up before the lock; its state is read after it.
        known = await self.read(commands, uow)
        claims: dict[str, set[str]] = {}
        for command in commands:
            features = claims.setdefault(command.customer_id, set())
            features.update(self.features(command))
            if command.reservation_id in known:
                features.update(known[command.reservation_id].usage)
        return claims

    async def read(self, commands: Sequence[C], uow: UnitOfWork) -> dict[UUID, Reservation]:
        return await uow.reservations.find((command.customer_id, command.reservation_id) for command in commands)

    def decide(self, command: C, account: Account, facts: dict[UUID, Reservation], uow: UnitOfWork) -> Reserved:
        before = facts.get(command.reservation_id)
        if before is None or before.customer_id != command.customer_id:
            raise ReservationNotFound(str(command.reservation_id))
        after = self.finish(command, before, account)
        if after is not before:
            facts[after.id] = after
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
    idempotency: Idempotency | None = None


class CommitReservation(FinishReservation[CommitReservationCommand]):
    """Book what was really used, less or more than was held, and end the hold.

    - The work is done, so it is always booked: also above the hold, above the limit, and after the hold has expired (`late`).
    - Once: a second commit, or the commit of a released reservation, is refused.
    """

    def features(self, command: CommitReservationCommand) -> Collection[str]:
        return [amount.feature for amount in command.amounts or ()]

    def finish(self, command: CommitReservationCommand, reservation: Reservation, account: Account) -> Reservation:
        held = [Usage(feature, quantity) for feature, quantity in reservation.usage.items()]
        work = held if command.amounts is None else _work(command.amounts, account)
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
    idempotency: Idempotency | None = None


class ReleaseReservation(FinishReservation[ReleaseReservationCommand]):
    """Give back what was held; nothing is booked. Releasing again changes nothing; a committed reservation is refused."""

    def features(self, command: ReleaseReservationCommand) -> Collection[str]:
        return ()

    def finish(self, command: ReleaseReservationCommand, reservation: Reservation, account: Account) -> Reservation:
        released = reservation.released(account.now)
        if released is not reservation:
            account.settle(reservation, released)
        return released


def _work(amounts: Sequence[Amount], account: Account) -> list[Usage]:
    """Amounts of work that was done; none of a feature is possible."""
    return [Usage(item.feature, account.balance(item.feature).feature.parts_of_work(item.quantity), item.dimension) for item in amounts]


def _by_feature(work: Sequence[Usage]) -> dict[str, int]:
    actual: dict[str, int] = {}
    for item in work:
        actual[item.feature] = actual.get(item.feature, 0) + item.quantity
    return actual
