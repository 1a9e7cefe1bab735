"""A reservation ends once: what was really used is booked, or what was held is given back."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from core.metering.account import CustomerNotFound
from core.metering.balance import Amount, FeatureNotMetered
from core.metering.finish_reservation import CommitReservation, CommitReservationCommand, ReleaseReservation, ReleaseReservationCommand
from core.metering.ledger import Origin
from core.metering.reservations import Reservation, ReservationKey, ReservationNotFound, ReservationNotHeld, ReservationState
from core.metering.reserve_usage import Reserved, ReserveUsage, ReserveUsageCommand
from core.metering.use_case import execute_one
from core.plans.features import InvalidQuantity
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, PERIOD, PRO
from tests.unit.fakes.metering import FakeStore
from tests.unit.fakes.operations import new


class Holder:
    """A customer that sets usage aside and finishes, by what it does at `now`."""

    def __init__(self, store: FakeStore | None = None, customer_id: str = "acme") -> None:
        self.store = store or FakeStore([PRO], [ACME, replace(ACME, id="globex")])
        self.customer_id = customer_id
        self.now = NOW
        parts = (self.store.unit_of_work, lambda: self.now)
        self.reserving, self.committing, self.releasing = ReserveUsage(*parts), CommitReservation(*parts), ReleaseReservation(*parts)

    async def reserves(self, reference: str | None = None, **amounts: str) -> Reservation:
        command = ReserveUsageCommand(customer_id=self.customer_id, amounts=listed(**amounts), reference=reference)
        return new(await execute_one(self.reserving, command)).reservation

    def to_commit(self, held: Reservation, *amounts: Amount) -> CommitReservationCommand:
        return CommitReservationCommand(customer_id=self.customer_id, reservation_id=held.id, recorded_by="worker", amounts=amounts or None)

    async def commits(self, held: Reservation, *amounts: Amount) -> Reserved:
        return new(await execute_one(self.committing, self.to_commit(held, *amounts)))

    async def releases(self, held: Reservation) -> Reserved:
        return new(await execute_one(self.releasing, ReleaseReservationCommand(self.customer_id, held.id)))

    def stands(self, feature: str = "sessions") -> tuple[int, int]:
        """What is used and held."""
        used = self.store.used_within(self.customer_id, feature, PERIOD)
        return used, self.store.held_at(self.customer_id, feature, self.now)

    def stored(self, held: Reservation) -> Reservation:
        return self.store.reservations[ReservationKey(self.customer_id, held.id)]


def listed(**amounts: str) -> list[Amount]:
    return [Amount(feature, Decimal(quantity)) for feature, quantity in amounts.items()]


@pytest.fixture
def acme() -> Holder:
    return Holder()


# Commit.


async def test_without_amounts_what_was_held_is_booked(acme: Holder) -> None:
    held = await acme.reserves(sessions="3", minutes="10")
    committed = await acme.commits(held)
    assert committed.reservation == acme.stored(held)
    assert (committed.reservation.state, committed.reservation.late) == (ReservationState.COMMITTED, False)
    assert committed.reservation.actual == {"sessions": 3, "minutes": 600}
    assert (acme.stands("sessions"), acme.stands("minutes")) == ((3, 0), (600, 0))
    assert {feature: (balance.used, balance.held) for feature, balance in committed.balances.items()} == {
        "sessions": (3, 0),
        "minutes": (600, 0),
    }


@pytest.mark.parametrize(("quantity", "overage"), [("1", 0), ("3", 0), ("12", 2)])
async def test_what_was_really_used_is_booked_less_or_more_than_was_held(acme: Holder, quantity: str, overage: int) -> None:
    held = await acme.reserves(sessions="3")
    committed = await acme.commits(held, *listed(sessions=quantity))
    (record,) = acme.store.ledger
    assert (record.quantity, record.overage, record.occurred_at) == (int(quantity), overage, NOW)
    assert committed.reservation.actual == {"sessions": int(quantity)}
    assert acme.stands() == (int(quantity), 0)


async def test_work_that_used_nothing_books_nothing_and_ends_the_hold(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    committed = await acme.commits(held, *listed(sessions="0"))
    assert (committed.reservation.state, committed.reservation.actual) == (ReservationState.COMMITTED, {"sessions": 0})
    assert (acme.store.ledger, acme.stands()) == ([], (0, 0))


async def test_an_empty_list_of_amounts_is_work_that_used_nothing(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    command = CommitReservationCommand(customer_id="acme", reservation_id=held.id, recorded_by="worker", amounts=[])
    committed = new(await execute_one(acme.committing, command))
    assert committed.balances.keys() == {"sessions"}
    assert (acme.store.ledger, acme.stands()) == ([], (0, 0))


async def test_a_feature_that_was_not_held_can_be_booked_with_the_commit(acme: Holder) -> None:
    held = await acme.reserves(sessions="1")
    committed = await acme.commits(held, *listed(minutes="2"))
    assert (acme.stands("sessions"), acme.stands("minutes")) == ((0, 0), (120, 0))
    assert committed.balances.keys() == {"minutes"}


async def test_a_feature_that_is_named_twice_is_booked_by_its_dimensions_and_told_in_sum(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    committed = await acme.commits(held, Amount("sessions", Decimal(1), "en"), Amount("sessions", Decimal(2), "de"))
    assert [(record.quantity, record.dimension) for record in acme.store.ledger] == [(1, "en"), (2, "de")]
    assert committed.reservation.actual == {"sessions": 3}


async def test_the_ledger_names_the_reservations_reference_or_else_its_id(acme: Holder) -> None:
    named, unnamed = await acme.reserves("order 7", sessions="1"), await acme.reserves(sessions="1")
    await acme.commits(named)
    await acme.commits(unnamed)
    assert [record.origin for record in acme.store.ledger] == [
        Origin("reservation", "worker", "order 7"),
        Origin("reservation", "worker", str(unnamed.id)),
    ]


async def test_an_expired_reservation_is_committed_late_and_booked_though_the_limit_is_reached(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    acme.now = held.expires_at
    await acme.commits(await acme.reserves(sessions="9"))
    committed = await acme.commits(held)
    assert (committed.reservation.late, acme.store.ledger[-1].overage) == (True, 2)
    assert acme.stands() == (12, 0)


@pytest.mark.parametrize("quantity", ["-1", "NaN", "-1e-12"])
async def test_what_is_no_amount_of_work_is_refused_and_the_hold_stays(acme: Holder, quantity: str) -> None:
    held = await acme.reserves(sessions="3")
    with pytest.raises(InvalidQuantity):
        await acme.commits(held, *listed(sessions="1", minutes=quantity))
    assert (acme.stored(held), acme.stands()) == (held, (0, 3))


async def test_what_is_not_metered_is_refused_and_the_hold_stays(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    with pytest.raises(FeatureNotMetered):
        await acme.commits(held, *listed(exports="1"))
    assert acme.stands() == (0, 3)


# Release.


async def test_a_release_gives_back_what_was_held_and_books_nothing(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    released = await acme.releases(held)
    assert released.reservation == acme.stored(held)
    assert (released.reservation.state, released.reservation.finished_at) == (ReservationState.RELEASED, NOW)
    assert (released.balances["sessions"].used, released.balances["sessions"].held) == (0, 0)
    assert (acme.store.ledger, acme.stands()) == ([], (0, 0))


async def test_releasing_again_changes_nothing_and_gives_back_nothing_of_others(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    await acme.reserves(sessions="2")
    first = await acme.releases(held)
    acme.now += timedelta(seconds=1)
    again = await acme.releases(held)
    assert (again.reservation, again.balances["sessions"].held) == (first.reservation, 2)


async def test_an_expired_reservation_can_be_released_and_gives_back_nothing_twice(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    acme.now = held.expires_at
    await acme.reserves(sessions="2")
    released = await acme.releases(held)
    assert (released.reservation.state, released.balances["sessions"].held) == (ReservationState.RELEASED, 2)


# Once, and only one's own.


async def test_a_reservation_ends_once(acme: Holder) -> None:
    committed, released = await acme.reserves(sessions="3"), await acme.reserves(sessions="1")
    await acme.commits(committed)
    await acme.releases(released)
    for end in (acme.commits(committed), acme.releases(committed), acme.commits(released)):
        with pytest.raises(ReservationNotHeld):
            await end
    assert acme.stands() == (3, 0)


async def test_a_list_commits_a_reservation_once(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    first, second = await acme.committing.execute(calls(acme.to_commit(held), acme.to_commit(held)))
    assert isinstance(first, Reserved)
    assert isinstance(second, ReservationNotHeld)
    assert second.facts() == {"reservation_id": str(held.id), "state": "committed"}
    assert acme.stands() == (3, 0)


async def test_only_the_customers_own_reservations_can_be_finished(acme: Holder) -> None:
    held = await acme.reserves(sessions="3")
    globex, nobody = Holder(acme.store, "globex"), Holder(acme.store, "nobody")
    unknown = replace(held, id=UUID(int=404))
    for end in (globex.commits(held), globex.releases(held), acme.commits(unknown), acme.releases(unknown)):
        with pytest.raises(ReservationNotFound):
            await end
    with pytest.raises(CustomerNotFound):
        await nobody.commits(held)
    assert (acme.stored(held), acme.stands()) == (held, (0, 3))
