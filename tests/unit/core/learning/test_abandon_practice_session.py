"""A practice session that is given up gives back at once what is held for it, and is counted by nobody."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.learning.abandon_practice_session import AbandonPracticeSessionCommand
from core.learning.practice_session import PracticeSessionNotFound, PracticeSessionSaved, PracticeStatus
from core.learning.start_practice_session import HELD_FOR
from core.metering.account import CustomerNotFound
from core.metering.balance import LimitExceeded
from core.metering.reservations import ReservationState
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import NOW
from tests.unit.fakes.learning import LENA, FakeLearningStore, Learner

LATER = timedelta(minutes=5)


async def test_an_abandoned_session_gives_back_its_hold_and_books_nothing(lena: Learner) -> None:
    started = await lena.starts("monday")
    lena.now += LATER
    abandoned = await lena.abandons("monday")
    assert (abandoned.session.status, abandoned.session.abandoned_at) == (PracticeStatus.ABANDONED, NOW + LATER)
    assert abandoned.session == lena.store.practice_sessions["lena", "monday"]
    assert (abandoned.balance.used, abandoned.balance.held, abandoned.balance.remaining) == (0, 0, 3)
    assert (lena.used(), lena.held()) == (0, 0)
    hold = lena.store.reservations["lena", started.hold.id]
    assert (hold.state, hold.finished_at) == (ReservationState.RELEASED, NOW + LATER)


async def test_abandoning_again_changes_nothing(lena: Learner) -> None:
    await lena.starts("monday")
    first = await lena.abandons("monday")
    lena.now += LATER
    assert await lena.abandons("monday") == first
    assert lena.held() == 0


async def test_only_what_it_held_itself_is_given_back(lena: Learner, tom: Learner) -> None:
    for learner in (lena, tom):
        await learner.starts("monday")
        await learner.starts("tuesday")
    await lena.abandons("monday")
    assert (lena.held(), tom.held()) == (1, 2)


@pytest.mark.parametrize("started", [True, False])
async def test_what_is_saved_is_counted_and_cannot_be_abandoned(lena: Learner, started: bool) -> None:
    if started:
        await lena.starts("monday")
    saved = await lena.saves("monday")
    with pytest.raises(PracticeSessionSaved) as refusal:
        await lena.abandons("monday")
    assert refusal.value.facts() == {"practice_session_id": "monday", "status": "saved"}
    assert (lena.store.practice_sessions["lena", "monday"], lena.used()) == (saved.session, 1)


async def test_a_session_that_was_never_heard_of_is_not_found(store: FakeLearningStore, lena: Learner, tom: Learner) -> None:
    await tom.starts("monday")
    with pytest.raises(PracticeSessionNotFound, match="No practice session 'monday'"):
        await lena.abandons("monday")
    with pytest.raises(CustomerNotFound):
        await Learner(store, replace(LENA, id="nobody")).abandons("monday")
    assert tom.held() == 1


async def test_what_was_abandoned_can_be_started_anew_for_another_plan(lena: Learner) -> None:
    first, second = await lena.creates_plan(), await lena.creates_plan()
    await lena.starts("monday", first)
    await lena.abandons("monday")
    lena.now += LATER
    again = await lena.starts("monday", second)
    assert (again.is_new, again.session.status, again.session.learning_plan_id) == (True, PracticeStatus.STARTED, second.id)
    assert (again.session.abandoned_at, lena.held()) == (None, 1)
    await lena.abandons("monday")
    assert lena.held() == 0


async def test_what_was_abandoned_can_be_saved_after_all(lena: Learner) -> None:
    plan = await lena.creates_plan()
    await lena.starts("monday", plan)
    await lena.abandons("monday")
    saved = await lena.saves("monday")
    assert (saved.session.status, saved.plan and saved.plan.completed_sessions) == (PracticeStatus.SAVED, 1)
    assert (lena.used(), lena.held()) == (1, 0)


async def test_an_abandonment_makes_room_for_the_next_start(lena: Learner) -> None:
    for id in ("monday", "tuesday", "wednesday"):
        await lena.starts(id)
    with pytest.raises(LimitExceeded):
        await lena.starts("thursday")
    await lena.abandons("tuesday")
    assert (await lena.starts("thursday")).balance.remaining == 0


async def test_one_whose_hold_has_expired_is_abandoned_all_the_same(lena: Learner) -> None:
    started = await lena.starts("monday")
    lena.now += HELD_FOR
    abandoned = await lena.abandons("monday")
    assert (abandoned.session.status, abandoned.balance.held) == (PracticeStatus.ABANDONED, 0)
    assert lena.store.reservations["lena", started.hold.id].state is ReservationState.RELEASED


async def test_a_hold_that_was_committed_by_itself_stays_committed(lena: Learner) -> None:
    """Whoever knows a reservation's id can end it."""
    started = await lena.starts("monday")
    committed = started.hold.committed({"practice_sessions": 1}, NOW)
    lena.store.reservations["lena", started.hold.id] = committed
    assert (await lena.abandons("monday")).session.status is PracticeStatus.ABANDONED
    assert lena.store.reservations["lena", started.hold.id] == committed


async def test_in_one_list_the_first_abandonment_stands_and_the_second_repeats_it(lena: Learner) -> None:
    await lena.starts("monday")
    command = AbandonPracticeSessionCommand("lena", "monday")
    first, second = await lena.abandoning.execute(calls(command, command))
    assert first == second
    assert lena.held() == 0
