"""Keep usage set aside for longer."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from core.metering.account import Account
from core.metering.reservation_command import ReservationUseCase
from core.metering.reservations import Reservation


@dataclass(frozen=True, slots=True)
class ExtendReservationCommand:
    """`ttl` is how long the usage stays set aside from now on."""

    customer_id: str
    reservation_id: UUID
    ttl: timedelta


class ExtendReservation(ReservationUseCase[ExtendReservationCommand]):
    """Let a hold end later, or sooner, than it would: so much after now.

    - Only what is still held can be kept. A reservation that was committed or released, or has expired, is refused.
    - Nothing more is set aside, so no limit refuses it; beside grants, only what outlives the hold can be kept for longer.
    """

    def change(self, command: ExtendReservationCommand, reservation: Reservation, account: Account) -> Reservation:
        extended = reservation.extended(command.ttl, account.now)
        account.extend(reservation, extended)
        return extended
