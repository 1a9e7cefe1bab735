"""Tell that a reservation has expired."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from core.events.event import Event
from core.metering.account import Account
from core.metering.ports import UnitOfWork
from core.metering.reservation_command import ReservationUseCase
from core.metering.reservations import Reservation, ReservationState
from core.metering.reserve_usage import Reserved

RESERVATION_EXPIRED: Final = "reservation.expired"


@dataclass(frozen=True, slots=True)
class NoteExpiryCommand:
    """Names the reservation."""

    customer_id: str
    reservation_id: UUID


class NoteExpiry(ReservationUseCase[NoteExpiryCommand]):
    """Tell that a reservation has expired, once. Decisions go by the clock, and need nobody to say so.

    One that was extended, committed or released meanwhile is not told.
    """

    def decide(self, command: NoteExpiryCommand, account: Account, uow: UnitOfWork) -> Reserved:
        reserved = super().decide(command, account, uow)
        if reserved.reservation.state_at(account.now) is ReservationState.EXPIRED:
            uow.outbox.add(_expired(reserved, account))
        return reserved

    def change(self, command: NoteExpiryCommand, reservation: Reservation, account: Account) -> Reservation:
        return reservation


def _expired(reserved: Reserved, account: Account) -> Event:
    reservation, balances = reserved.reservation, reserved.balances
    held = [(balances[key].feature, quantity) for key, quantity in reservation.held.items() if quantity]
    data = {
        "customer_id": reservation.customer_id,
        "reservation_id": reservation.id,
        "reference": reservation.reference,
        "held": [{"feature": feature.key, "unit": feature.unit, "quantity": feature.units(quantity)} for feature, quantity in held],
        "created_at": reservation.created_at,
        "expired_at": reservation.expires_at,
    }
    return Event(
        id=account.new_id(),
        type=RESERVATION_EXPIRED,
        customer_id=reservation.customer_id,
        occurred_at=reservation.expires_at,
        data=data,
        once=f"{RESERVATION_EXPIRED}:{reservation.id}",
    )
