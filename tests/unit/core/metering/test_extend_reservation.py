"""A hold can be made to end later, or sooner; what has ended cannot be held on to."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core.metering.account import CustomerNotFound
from core.metering.balance import Amount, LimitExceeded
from core.metering.extend_reservation import ExtendReservation, ExtendReservationCommand
from core.metering.finish_reservation import CommitReservation, CommitReservationCommand, ReleaseReservation, ReleaseReservationCommand
from core.metering.reservations import Reservation, ReservationKey, ReservationNotFound, ReservationNotHeld, ReservationState
from core.metering.reserve_usage import Reserved, ReserveUsage, ReserveUsageCommand
from core.metering.use_case import execute_one
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, PRO
from tests.unit.fakes.metering import FakeStore
from tests.unit.fakes.operations import new

MINUTE = timedelta(minutes=1)
INSTANT = timedelta(microseconds=1)


class Holder:
    """A customer that sets usage aside for a minute, by what it does at `now`."""

    def __init__(self) -> None:
        self.store = FakeStore([PRO], [ACME, replace(ACME, id="globex")])
        self.now = NOW

    def use_case(self, kind: Callable[..., Any]) -> Any:
        return kind(self.store.unit_of_work, lambda: self.now)

    async def reserves(self, quantity: int = 3) -> Reservation:
        command = ReserveUsageCommand(customer_id="acme", amounts=[Amount("sessions", Decimal(quantity))], ttl=MINUTE)
        return new(await execute_one(self.use_case(ReserveUsage), command)).reservation  # type: ignore[no-any-return]

    async def extends(self, id: UUID, ttl: timedelta = 10 * MINUTE, customer_id: str = "acme") -> Reserved:
        return new(await execute_one(self.use_case(ExtendReservation), ExtendReservationCommand(customer_id, id, ttl)))  # type: ignore[no-any-return]

    async def commits(self, id: UUID) -> Reserved:
        command = CommitReservationCommand(customer_id="acme", reservation_id=id, recorded_by="worker")
        return new(await execute_one(self.use_case(CommitReservation), command))  # type: ignore[no-any-return]

    async def releases(self, id: UUID) -> Reserved:
        return new(await execute_one(self.use_case(ReleaseReservation), ReleaseReservationCommand("acme", id)))  # type: ignore[no-any-return]

    def held(self) -> int:
        return self.store.held_at("acme", "sessions", self.now)

    def stored(self, id: UUID) -> Reservation:
        return self.store.reservations[ReservationKey("acme", id)]


@pytest.fixture
def acme() -> Holder:
    return Holder()


@pytest.mark.parametrize("ttl", [timedelta(seconds=1), MINUTE, timedelta(days=1)])
async def test_a_hold_ends_so_much_after_now_and_is_otherwise_as_it_was(acme: Holder, ttl: timedelta) -> None:
    held = await acme.reserves()
    acme.now += timedelta(seconds=30)
    extended = await acme.extends(held.id, ttl)
    assert extended.reservation == replace(held, expires_at=acme.now + ttl) == acme.stored(held.id)
    assert (extended.balances["sessions"].used, extended.balances["sessions"].held, acme.held()) == (0, 3, 3)


async def test_what_is_held_counts_until_the_new_end(acme: Holder) -> None:
    held = await acme.reserves()
    await acme.extends(held.id)
    acme.now += 10 * MINUTE - INSTANT
    assert acme.held() == 3
    acme.now += INSTANT
    assert acme.held() == 0


async def test_an_extended_hold_is_committed_in_time(acme: Holder) -> None:
    held = await acme.reserves()
    await acme.extends(held.id)
    acme.now += 9 * MINUTE
    assert not (await acme.commits(held.id)).reservation.late
    assert acme.held() == 0


async def test_a_hold_at_its_last_instant_can_be_extended_and_no_later(acme: Holder) -> None:
    kept, lost = await acme.reserves(), await acme.reserves()
    acme.now += MINUTE - INSTANT
    await acme.extends(kept.id)
    acme.now += INSTANT
    with pytest.raises(ReservationNotHeld) as refusal:
        await acme.extends(lost.id)
    assert refusal.value.state is ReservationState.EXPIRED
    assert acme.stored(lost.id) == lost


@pytest.mark.parametrize(("end", "state"), [(Holder.commits, ReservationState.COMMITTED), (Holder.releases, ReservationState.RELEASED)])
async def test_what_has_come_to_its_end_is_not_extended(
    acme: Holder, end: Callable[[Holder, UUID], Awaitable[Reserved]], state: ReservationState
) -> None:
    held = await acme.reserves()
    ended = await end(acme, held.id)
    with pytest.raises(ReservationNotHeld) as refusal:
        await acme.extends(held.id)
    assert refusal.value.facts() == {"reservation_id": str(held.id), "state": state.value}
    assert (acme.stored(held.id), acme.held()) == (ended.reservation, 0)


async def test_only_the_customers_own_is_found(acme: Holder) -> None:
    held = await acme.reserves()
    for customer_id, error in (("globex", ReservationNotFound), ("nobody", CustomerNotFound)):
        with pytest.raises(error):
            await acme.extends(held.id, customer_id=customer_id)
    assert acme.stored(held.id) == held


async def test_no_limit_refuses_an_extension(acme: Holder) -> None:
    held = await acme.reserves(10)
    with pytest.raises(LimitExceeded):
        await acme.reserves(1)
    assert (await acme.extends(held.id)).balances["sessions"].remaining == 0


async def test_in_one_list_the_last_extension_stands_and_one_after_the_end_is_refused(acme: Holder) -> None:
    held = await acme.reserves()
    extending = [ExtendReservationCommand("acme", held.id, ttl) for ttl in (MINUTE, 3 * MINUTE, 2 * MINUTE)]
    await acme.use_case(ExtendReservation).execute(calls(*extending))
    assert acme.stored(held.id).expires_at == NOW + 2 * MINUTE
    await acme.releases(held.id)
    outcomes = await acme.use_case(ExtendReservation).execute(calls(*extending))
    assert [type(outcome) for outcome in outcomes] == [ReservationNotHeld] * 3
