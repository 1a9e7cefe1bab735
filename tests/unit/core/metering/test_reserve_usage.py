"""Usage is set aside before the work, for a time: all of it, or none."""

from datetime import timedelta
from decimal import Decimal

import pytest

from core.metering.balance import Amount, FeatureNotInPlan, LimitExceeded
from core.metering.reservations import Reservation, ReservationKey, ReservationState
from core.metering.reserve_usage import Reserved, ReserveUsage, ReserveUsageCommand
from core.metering.use_case import execute_one
from core.plans.features import InvalidQuantity
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, PRO
from tests.unit.fakes.metering import FakeStore
from tests.unit.fakes.operations import new


@pytest.fixture
def store() -> FakeStore:
    return FakeStore([PRO], [ACME])


def to_reserve(**amounts: str) -> ReserveUsageCommand:
    return ReserveUsageCommand(customer_id="acme", amounts=[Amount(feature, Decimal(quantity)) for feature, quantity in amounts.items()])


async def reserve(store: FakeStore, command: ReserveUsageCommand) -> Reserved:
    return new(await execute_one(ReserveUsage(store.unit_of_work, lambda: NOW), command))


def held(store: FakeStore, feature: str = "sessions") -> int:
    return store.held_at("acme", feature, NOW)


async def test_a_reservation_is_stored_with_what_it_holds_and_when_it_ends(store: FakeStore) -> None:
    amounts = [Amount("sessions", Decimal(3)), Amount("minutes", Decimal("0.5"))]
    command = ReserveUsageCommand(customer_id="acme", amounts=amounts, ttl=timedelta(seconds=60), reference="order 7")
    reserved = await reserve(store, command)
    assert reserved.reservation == Reservation(
        id=reserved.reservation.id,
        customer_id="acme",
        usage={"sessions": 3, "minutes": 30},
        held={"sessions": 3, "minutes": 30},
        created_at=NOW,
        expires_at=NOW + timedelta(seconds=60),
        reference="order 7",
        state=ReservationState.HELD,
    )
    assert store.reservations == {ReservationKey("acme", reserved.reservation.id): reserved.reservation}
    assert (held(store, "sessions"), held(store, "minutes"), store.ledger) == (3, 30, [])


async def test_the_answer_says_where_the_features_stand_with_the_hold(store: FakeStore) -> None:
    balance = (await reserve(store, to_reserve(sessions="3"))).balances["sessions"]
    assert (balance.used, balance.held, balance.remaining) == (0, 3, 7)


async def test_a_hold_lasts_for_five_minutes_where_nothing_else_is_said(store: FakeStore) -> None:
    assert (await reserve(store, to_reserve(sessions="1"))).reservation.expires_at == NOW + timedelta(seconds=300)


async def test_what_is_held_counts_against_everyone(store: FakeStore) -> None:
    await reserve(store, to_reserve(sessions="6"))
    with pytest.raises(LimitExceeded) as refusal:
        await reserve(store, to_reserve(sessions="5"))
    assert (refusal.value.facts()["held"], refusal.value.facts()["remaining"]) == (6, 4)
    await reserve(store, to_reserve(sessions="4"))
    assert held(store) == 10


async def test_where_one_feature_does_not_fit_none_is_held(store: FakeStore) -> None:
    with pytest.raises(LimitExceeded) as refusal:
        await reserve(store, to_reserve(sessions="3", minutes="501"))
    assert refusal.value.feature == "minutes"
    assert (store.reservations, held(store)) == ({}, 0)


async def test_a_feature_that_is_named_twice_is_held_in_sum(store: FakeStore) -> None:
    twice = ReserveUsageCommand(customer_id="acme", amounts=[Amount("sessions", Decimal(6)), Amount("sessions", Decimal(4))])
    reserved = await reserve(store, twice)
    assert (reserved.reservation.usage, held(store)) == ({"sessions": 10}, 10)
    store.holds.clear()
    thrice = ReserveUsageCommand(customer_id="acme", amounts=[*twice.amounts, Amount("sessions", Decimal(1))])
    with pytest.raises(LimitExceeded) as refusal:
        await reserve(store, thrice)
    assert refusal.value.requested == 11


async def test_what_the_plan_lacks_and_less_than_a_part_cannot_be_held(store: FakeStore) -> None:
    with pytest.raises(FeatureNotInPlan):
        await reserve(store, to_reserve(conversations="1"))
    with pytest.raises(InvalidQuantity):
        await reserve(store, to_reserve(sessions="0"))
    assert store.reservations == {}


async def test_reservations_of_one_list_never_hold_more_than_the_limit(store: FakeStore) -> None:
    commands = [to_reserve(sessions=quantity) for quantity in ("6", "5", "4")]
    outcomes = await ReserveUsage(store.unit_of_work, lambda: NOW).execute(calls(*commands))
    assert [type(outcome) for outcome in outcomes] == [Reserved, LimitExceeded, Reserved]
    assert (held(store), len(store.reservations)) == (10, 2)
