"""End a reservation: commit what was really used, or release it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from core.metering.account import Account
from core.metering.balance import Amount, Usage
from core.metering.ledger import Origin
from core.metering.reservation_command import ReservationUseCase
from core.metering.reservations import Reservation


@dataclass(frozen=True, slots=True)
class CommitReservationCommand:
    """`amounts` is what was really used; None: what was held."""

    customer_id: str
    reservation_id: UUID
    recorded_by: str
    amounts: Sequence[Amount] | None = None


class CommitReservation(ReservationUseCase[CommitReservationCommand]):
    """Book what was really used, less or more than was held, and end the hold.

    - The work is done, so it is always booked: also above the hold, above the limit, and after the hold has expired (`late`).
    - Once: a second commit, or the commit of a released reservation, is refused.
    """

    def features_of(self, command: CommitReservationCommand) -> Collection[str]:
        return [amount.feature for amount in command.amounts or ()]

    def change(self, command: CommitReservationCommand, reservation: Reservation, account: Account) -> Reservation:
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


class ReleaseReservation(ReservationUseCase[ReleaseReservationCommand]):
    """Give back what was held; nothing is booked. Releasing again changes nothing; a committed reservation is refused."""

    def change(self, command: ReleaseReservationCommand, reservation: Reservation, account: Account) -> Reservation:
        released = reservation.released(account.now)
        if released is not reservation:
            account.settle(reservation, released)
        return released


def _by_feature(work: Sequence[Usage]) -> dict[str, int]:
    actual: dict[str, int] = {}
    for item in work:
        actual[item.feature] = actual.get(item.feature, 0) + item.quantity
    return actual
