"""A reservation's life: held until it is committed, released, or its time is over."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from core.metering.reservations import Reservation, ReservationNotHeld, ReservationState
from tests.unit.fakes.examples import NOW, reservation

EXPIRES_AT = NOW + timedelta(minutes=5)
BEFORE, AFTER = EXPIRES_AT - timedelta(microseconds=1), EXPIRES_AT + timedelta(days=40)
HELD = reservation({"sessions": 3, "minutes": 60}, expires_at=EXPIRES_AT)


def commit(held: Reservation) -> Reservation:
    return held.committed({"sessions": 1}, NOW)


def release(held: Reservation) -> Reservation:
    return held.released(NOW)


def test_a_reservation_is_held_until_it_expires() -> None:
    assert HELD.state_at(BEFORE) is ReservationState.HELD
    assert HELD.held_at("sessions", BEFORE) == 3


@pytest.mark.parametrize("now", [EXPIRES_AT, AFTER])
def test_from_the_instant_of_its_expiry_a_reservation_holds_nothing(now: datetime) -> None:
    assert HELD.state_at(now) is ReservationState.EXPIRED
    assert HELD.held_at("sessions", now) == 0


def test_a_feature_that_was_not_reserved_is_not_held() -> None:
    assert HELD.held_at("ai_runs", BEFORE) == 0


def test_a_commit_keeps_what_was_asked_for_beside_what_was_used() -> None:
    committed = HELD.committed({"sessions": 4}, BEFORE)
    assert (committed.usage, committed.actual) == ({"sessions": 3, "minutes": 60}, {"sessions": 4})
    assert (committed.state, committed.finished_at, committed.late) == (ReservationState.COMMITTED, BEFORE, False)


@pytest.mark.parametrize("now", [EXPIRES_AT, AFTER])
def test_an_expired_reservation_can_still_be_committed_and_is_marked_late(now: datetime) -> None:
    committed = HELD.committed({"sessions": 1}, now)
    assert (committed.state, committed.late, committed.finished_at) == (ReservationState.COMMITTED, True, now)


def test_a_release_says_when_and_used_nothing() -> None:
    released = HELD.released(BEFORE)
    assert (released.state, released.finished_at, released.actual) == (ReservationState.RELEASED, BEFORE, None)


@pytest.mark.parametrize("ttl", [timedelta(seconds=1), timedelta(days=1)])
def test_an_extension_counts_from_now_and_changes_nothing_else(ttl: timedelta) -> None:
    assert HELD.extended(ttl, BEFORE) == replace(HELD, expires_at=BEFORE + ttl)


@pytest.mark.parametrize(
    ("ended", "now", "state"), [(HELD, EXPIRES_AT, "expired"), (commit(HELD), NOW, "committed"), (release(HELD), NOW, "released")]
)
def test_what_is_not_held_by_now_cannot_be_extended(ended: Reservation, now: datetime, state: str) -> None:
    with pytest.raises(ReservationNotHeld, match=f"is already {state}") as refusal:
        ended.extended(timedelta(days=1), now)
    assert refusal.value.state == state


@pytest.mark.parametrize("end", [commit, release])
def test_a_reservation_that_came_to_its_end_keeps_no_hold_that_could_leak(end: Callable[[Reservation], Reservation]) -> None:
    assert end(HELD).held == {}
    assert end(HELD).held_at("sessions", BEFORE) == 0


def test_an_expired_reservation_can_be_released() -> None:
    assert HELD.released(AFTER).state is ReservationState.RELEASED


def test_releasing_again_changes_nothing() -> None:
    released = release(HELD)
    assert released.released(AFTER) is released


@pytest.mark.parametrize(
    ("first", "then", "state"),
    [
        (commit, commit, ReservationState.COMMITTED),
        (commit, release, ReservationState.COMMITTED),
        (release, commit, ReservationState.RELEASED),
    ],
)
def test_a_reservation_that_came_to_its_end_is_not_ended_otherwise(
    first: Callable[[Reservation], Reservation], then: Callable[[Reservation], Reservation], state: ReservationState
) -> None:
    ended = first(HELD)
    with pytest.raises(ReservationNotHeld) as refused:
        then(ended)
    assert refused.value.facts() == {"reservation_id": str(HELD.id), "state": state.value}


@pytest.mark.parametrize(("end", "state"), [(commit, ReservationState.COMMITTED), (release, ReservationState.RELEASED)])
def test_time_does_not_change_how_a_reservation_ended(end: Callable[[Reservation], Reservation], state: ReservationState) -> None:
    assert end(HELD).state_at(AFTER) is state


def test_work_draws_down_the_hold_of_its_feature_only() -> None:
    drawn = HELD.drawn("minutes", 45)
    assert drawn.held == {"sessions": 3, "minutes": 15}
    assert drawn.usage == HELD.usage


@pytest.mark.parametrize(("feature", "quantity"), [("minutes", 60), ("minutes", 61), ("ai_runs", 1)])
def test_a_hold_is_never_drawn_below_nothing(feature: str, quantity: int) -> None:
    assert HELD.drawn(feature, quantity).held_at(feature, BEFORE) == 0


def test_each_state_is_a_new_value_and_leaves_the_last_as_it_was() -> None:
    commit(HELD), release(HELD), HELD.drawn("sessions", 1)
    assert reservation({"sessions": 3, "minutes": 60}, expires_at=EXPIRES_AT) == HELD
