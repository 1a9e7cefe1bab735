"""What grants do, case by case, by the use cases themselves; the clock goes on as the stories say."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from core.metering.balance import LimitExceeded
from core.metering.extend_reservation import ExtendReservation, ExtendReservationCommand
from core.metering.grants import (
    GrantEnded,
    GrantNotFound,
    GrantReferenceTaken,
    GrantState,
    InvalidGrant,
)
from core.metering.void_grant import VoidGrant, VoidGrantCommand
from core.plans.rollover import Rollover
from tests.unit.fakes.granted import PAID, PROMOTIONAL, World, day


def test_a_promotion_burns_before_the_allowance_that_lasts_longer() -> None:
    world = World(100)
    promotion = world.grant(50, PROMOTIONAL, expires_at=day(15))
    world.at = day(10)
    world.use(120)
    funds = world.balance.funds
    assert funds is not None
    assert (funds.allowance_used, funds.burnt, world.burnt(promotion)) == (70, 50, 50)
    world.at = day(16)
    assert world.balance.remaining == 30


def test_what_is_left_of_a_voided_grant_is_gone_and_what_was_burnt_stays_burnt() -> None:
    world = World(100)
    grant = world.grant(200)
    world.use(160)
    voided = world.void(grant)
    assert (world.burnt(grant), voided.standing.left, world.balance.remaining) == (60, 140, 0)
    assert voided.standing.grant.state_at(world.at, voided.standing.left) is GrantState.VOIDED
    assert world.balance.limit == 160


def test_what_is_rolled_over_is_capped_and_the_oldest_trimmed() -> None:
    world = World(100, Rollover(50, 2), at=day(2, 10))
    world.use(70)
    world.at = day(2, 11)
    assert world.balance.limit == 130
    assert world.rolled() == [30]
    world.use(55)
    world.at = day(2, 12)
    assert world.balance.limit == 150
    assert world.rolled() == [5, 45]


def test_usage_that_is_recorded_late_changes_what_was_rolled_over_only_as_far_as_the_cap_lets_it() -> None:
    world = World(100, Rollover(50, 2), at=day(2, 10))
    world.use(70)
    world.at = day(2, 11)
    world.use(55)
    world.at = day(1, 12)
    assert world.balance.limit == 150
    world.use(15, at=day(31, 10))
    assert (world.rolled(), world.balance.limit) == ([5, 45], 150)
    world.use(14, at=day(31, 10))
    assert (world.rolled(), world.balance.limit) == ([1, 45], 146)


def test_a_correction_gives_back_to_the_grant_what_the_allowance_can_carry() -> None:
    world = World(10)
    grant = world.grant(20)
    first = world.use(10)
    world.use(5)
    assert world.burnt(grant) == 5
    corrected = world.correct(first, -4)
    assert (world.burnt(grant), world.left(grant), corrected.lapsed) == (1, 19, 0)
    assert corrected.balance.remaining == 19


def test_what_flows_back_to_a_grant_that_has_expired_lapses() -> None:
    world = World(100)
    world.grant(10, PROMOTIONAL, expires_at=day(10))
    used = world.use(10)
    world.at = day(11)
    before = world.balance
    corrected = world.correct(used, -6)
    assert corrected.lapsed == 6
    assert (before.remaining, corrected.balance.remaining) == (100, 100)


def test_usage_that_is_recorded_late_burns_what_there_was_when_it_occurred() -> None:
    world = World(100)
    promotion = world.grant(10, PROMOTIONAL, expires_at=day(10))
    world.at = day(12)
    world.use(1)
    assert world.balance.remaining == 99
    record = world.use(7, at=day(5)).records[0]
    assert (world.burnt(promotion), world.balance.remaining, record.overage) == (7, 99, 0)


def test_a_downgrade_never_moves_what_grants_have_left() -> None:
    world = World(100)
    world.use(80)
    world.grant(40)
    world.at = day(3)
    world.change_plan(50)
    assert (world.balance.remaining, world.balance.granted) == (40, 40)


def test_a_grant_first_covers_what_nothing_covered() -> None:
    world = World(10)
    assert world.use(12, record=True).over_limit
    world.at = day(3)
    grant = world.grant(5)
    assert (world.balance.remaining, world.balance.overage, world.burnt(grant)) == (3, 0, 2)


def test_what_is_uncovered_at_the_periods_end_stays_overage() -> None:
    world = World(10, at=day(2, 10))
    world.use(12, record=True)
    world.at = day(2, 11)
    grant = world.grant(5)
    assert (world.balance.remaining, world.burnt(grant)) == (15, 0)


def test_an_unlimited_allowance_burns_nothing() -> None:
    world = World(None)
    grant = world.grant(5, PROMOTIONAL, expires_at=day(10))
    world.use(1000)
    assert (world.balance.limit, world.burnt(grant)) == (None, 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"priority": 1, "expires_at": day(28, 12)}, {"priority": 2, "expires_at": day(5)}),
        ({"expires_at": day(5)}, {"expires_at": day(6)}),
        ({"expires_at": day(6)}, {"expires_at": None}),
        ({"kind": PROMOTIONAL, "expires_at": day(6)}, {"kind": PAID, "expires_at": day(6)}),
        ({"effective_at": day(1)}, {"effective_at": day(2)}),
    ],
    ids=["priority", "end", "an end before none", "kind", "age"],
)
def test_grants_burn_in_their_order_whichever_came_first(first: dict[str, Any], second: dict[str, Any]) -> None:
    for turned in (False, True):
        world = World(0)
        made = [world.grant(3, **{"kind": PAID, **more}) for more in ((second, first) if turned else (first, second))]
        world.use(4)
        burnt = [world.burnt(grant) for grant in made]
        assert burnt == ([1, 3] if turned else [3, 1])


def test_at_the_same_end_a_promotion_burns_before_the_allowance_and_the_allowance_before_what_was_paid_for() -> None:
    end = datetime(2026, 12, 1, tzinfo=UTC)
    world = World(10)
    paid, promotion = world.grant(5, PAID, expires_at=end), world.grant(5, PROMOTIONAL, expires_at=end)
    world.use(6)
    assert (world.burnt(promotion), world.burnt(paid)) == (5, 0)
    world.use(10)
    assert world.burnt(paid) == 1


def test_a_grant_that_begins_later_counts_from_then_on() -> None:
    world = World(10)
    world.grant(5, effective_at=day(10))
    world.use(10)
    with pytest.raises(LimitExceeded):
        world.use(1)
    world.at = day(10)
    assert world.use(5).balances["sessions"].remaining == 0


def test_a_refusal_says_what_the_plan_gives_and_what_grants_add() -> None:
    world = World(10)
    world.grant(5)
    world.use(12)
    with pytest.raises(LimitExceeded) as refused:
        world.use(4)
    facts = refused.value.facts()
    assert (facts["limit"], facts["allowance"], facts["granted"], facts["remaining"]) == (15, 10, 3, 3)


def test_a_hold_is_admitted_only_against_what_outlives_it() -> None:
    world = World(0)
    world.grant(10, PROMOTIONAL, expires_at=world.at + timedelta(minutes=10))
    world.grant(3)
    world.hold(3, timedelta(minutes=20))
    with pytest.raises(LimitExceeded):
        world.hold(1, timedelta(minutes=20))
    world.use(10)
    with pytest.raises(LimitExceeded):
        world.use(1)


def test_usage_leaves_what_the_holds_need_for_as_long_as_they_last() -> None:
    world = World(0)
    world.grant(10, PROMOTIONAL, expires_at=world.at + timedelta(minutes=10))
    world.grant(3, priority=1)
    world.hold(3, timedelta(minutes=20))
    with pytest.raises(LimitExceeded):
        world.use(1)


def test_a_hold_is_not_kept_for_longer_than_what_it_holds() -> None:
    world = World(0)
    world.grant(10, PROMOTIONAL, expires_at=world.at + timedelta(minutes=10))
    reserved = world.hold(5, timedelta(minutes=5))
    with pytest.raises(LimitExceeded):
        world.run(ExtendReservation, ExtendReservationCommand("acme", reserved.reservation.id, timedelta(minutes=15)))
    world.run(ExtendReservation, ExtendReservationCommand("acme", reserved.reservation.id, timedelta(minutes=9)))


def test_the_same_reference_is_the_same_grant() -> None:
    world = World(10)
    first = world.grant(5, reference="order 7")
    assert world.grant(5, reference="order 7") == first
    assert world.balance.limit == 15
    with pytest.raises(GrantReferenceTaken):
        world.grant(6, reference="order 7")


def test_a_grant_is_voided_once() -> None:
    world = World(10)
    grant = world.grant(5)
    first = world.void(grant).standing.grant
    world.at = day(3)
    assert world.void(grant).standing.grant == first
    with pytest.raises(GrantNotFound):
        world.run(VoidGrant, VoidGrantCommand("acme", UUID(int=7), "refund", "key 1"))


def test_an_expired_grant_is_not_voided() -> None:
    world = World(10)
    grant = world.grant(5, expires_at=day(3))
    world.at = day(4)
    with pytest.raises(GrantEnded):
        world.void(grant)


@pytest.mark.parametrize("more", [{"effective_at": day(3), "expires_at": day(3)}, {"effective_at": day(2) - timedelta(days=36)}])
def test_a_grant_that_could_never_be_used_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidGrant):
        World(10).grant(5, **more)


def test_periods_that_nobody_looked_at_roll_over_as_well() -> None:
    world = World(100, Rollover(None, 3), at=day(2, 3))
    world.use(90)
    world.at = day(2, 6)
    assert world.balance.limit == 310
    assert world.rolled() == [10, 100, 100]


def test_periods_before_the_customer_had_the_plan_roll_nothing_over() -> None:
    world = World(100, at=day(2, 10))
    world.use(10)
    world.at = day(20, 10)
    world.change_plan(100, Rollover(None, 3))
    world.at = day(2, 11)
    assert world.rolled() == []
    assert world.balance.limit == 190
    assert world.rolled() == [90]


def test_a_rollover_lasts_for_its_periods_and_not_a_moment_less() -> None:
    world = World(100, Rollover(None, 1), at=day(2, 9))
    world.use(60)
    world.at = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)
    assert world.balance.limit == 140
    world.at = datetime(2026, 11, 1, tzinfo=UTC)
    assert world.balance.limit == 200  # October's own


def test_without_grants_no_books_are_opened() -> None:
    world = World(100)
    world.correct(world.use(10), -3)
    world.use(2, at=day(20, 10))
    assert world.store.books_opened == 0


def test_usage_in_the_order_of_time_opens_no_books() -> None:
    world = World(10)
    grant = world.grant(50)
    opened = world.store.books_opened
    for _ in range(20):
        world.use(2)
    assert (world.store.books_opened, world.burnt(grant)) == (opened, 30)


def test_a_rollover_is_no_larger_than_the_cap_from_the_beginning() -> None:
    world = World(100, Rollover(50, 2), at=day(2, 10))
    world.use(20)
    world.at = day(2, 11)
    assert world.balance.limit == 150
    (grant,) = world.store.grants.values()
    assert (grant.quantity, world.store.entries) == (50, [])


def test_usage_from_before_there_was_a_customer_makes_no_rollover() -> None:
    world = World(100, Rollover(50, 2))
    world.use(5, at=day(20, 10))
    assert (world.rolled(), world.balance.limit) == ([], 100)


def test_what_the_turn_of_a_period_trims_is_trimmed_once_whatever_the_same_command_does_then() -> None:
    world = World(10, Rollover(10, 2), at=day(2, 9))
    grant = world.grant(1)
    world.at = day(2, 10)
    assert world.balance.limit == 21
    world.at = day(2, 11)
    world.void(grant)
    world.at = day(3, 11)
    assert (world.rolled(), world.balance.limit) == ([0, 10], 20)
