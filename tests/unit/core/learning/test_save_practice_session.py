"""The one path by which a finished practice session is saved: session, progress and usage change together, once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from core.errors import StorageUnavailable
from core.learning.learning_plan import LearningPlanNotFound
from core.learning.practice_session import Practice, PracticeSessionConflict, PracticeStatus
from core.learning.save_practice_session import SavedPractice, SavePracticeSession
from core.learning.start_practice_session import HELD_FOR
from core.metering.account import CustomerNotFound
from core.metering.balance import LimitExceeded
from core.metering.ledger import Origin
from core.metering.reservations import ReservationState
from core.plans.plan import Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import NOW, PERIOD
from tests.unit.fakes.learning import LENA, PRACTICE, FakeLearningStore, FakeLearningUnitOfWork, Learner


async def test_a_free_practice_session_is_saved_and_booked(lena: Learner) -> None:
    practice = Practice(540, "role_play", "Ordered a coffee.")
    saved = await lena.saves(practice=practice)
    session = saved.session
    assert (session.practice, session.status, session.saved_at, session.started_at) == (practice, PracticeStatus.SAVED, NOW, None)
    assert (saved.is_new, saved.plan, session.over_limit) == (True, None, False)
    assert (saved.balance.used, saved.balance.remaining) == (1, 2)
    assert lena.store.practice_sessions == {("lena", session.id): session}
    (record,) = lena.store.ledger
    assert (record.feature, record.quantity, record.occurred_at) == ("practice_sessions", 1, NOW)
    assert record.origin == Origin("learning", "app", session.id)
    assert lena.used() == 1


async def test_a_session_of_a_learning_plan_moves_record_progress_and_usage_together(lena: Learner) -> None:
    plan = await lena.creates_plan(8, 2)
    saved = await lena.saves(plan=plan)
    assert saved.plan is not None
    assert (saved.plan.completed_sessions, saved.plan.progress_percentage) == (1, 12.5)
    assert saved.plan.weekly_schedule[0].sessions_completed == 1
    assert saved.session.learning_plan_id == plan.id
    assert (saved.balance.used, lena.used()) == (1, 1)


async def test_a_started_session_that_is_saved_turns_its_hold_into_usage(lena: Learner) -> None:
    started = await lena.starts("monday")
    lena.now += timedelta(minutes=9)
    saved = await lena.saves("monday")
    assert (saved.balance.used, saved.balance.held, saved.balance.remaining) == (1, 0, 2)
    assert (lena.used(), lena.held()) == (1, 0)
    hold = lena.store.reservations["lena", started.hold.id]
    assert (hold.state, hold.actual, hold.late) == (ReservationState.COMMITTED, {"practice_sessions": 1}, False)
    assert (saved.session.started_at, saved.session.saved_at) == (NOW, lena.now)


async def test_saving_another_session_leaves_a_started_ones_hold_alone(lena: Learner) -> None:
    await lena.starts("monday")
    saved = await lena.saves("tuesday")
    assert (saved.balance.used, saved.balance.held, saved.balance.remaining) == (1, 1, 1)


async def test_a_session_of_the_last_one_held_is_within_the_limit(lena: Learner) -> None:
    for _ in range(2):
        await lena.saves()
    await lena.starts("last")
    saved = await lena.saves("last")
    assert (saved.session.over_limit, saved.balance.used, saved.balance.remaining) == (False, 3, 0)


# Nothing a learner did is lost.


async def test_a_session_that_finishes_with_none_left_is_booked_above_the_limit_and_says_so(lena: Learner) -> None:
    saved = [await lena.saves() for _ in range(4)]
    assert [item.session.over_limit for item in saved] == [False, False, False, True]
    assert (saved[-1].balance.used, saved[-1].balance.remaining, saved[-1].balance.overage) == (4, 0, 1)
    with pytest.raises(LimitExceeded) as refusal:
        await lena.starts()
    assert refusal.value.facts()["current_usage"] == 4


async def test_a_session_whose_hold_has_expired_is_booked_late(lena: Learner) -> None:
    started = await lena.starts("monday")
    lena.now += HELD_FOR
    saved = await lena.saves("monday")
    assert (lena.used(), lena.held(), saved.session.over_limit) == (1, 0, False)
    assert lena.store.reservations["lena", started.hold.id].late


async def test_a_session_whose_hold_has_expired_and_gone_to_others_is_booked_above_the_limit(lena: Learner) -> None:
    await lena.starts("monday")
    lena.now += HELD_FOR
    for _ in range(3):
        await lena.saves()
    saved = await lena.saves("monday")
    assert (saved.session.over_limit, saved.balance.used) == (True, 4)


async def test_a_session_that_was_started_anew_settles_the_newer_hold(lena: Learner) -> None:
    await lena.starts("monday")
    lena.now += HELD_FOR
    await lena.starts("monday")
    await lena.saves("monday")
    assert (lena.used(), lena.held()) == (1, 0)


@pytest.mark.parametrize("state", [ReservationState.RELEASED, ReservationState.COMMITTED])
async def test_a_session_is_saved_whatever_became_of_its_hold(lena: Learner, state: ReservationState) -> None:
    hold = (await lena.starts("monday")).hold
    lena.store.reservations["lena", hold.id] = replace(hold, state=state, held={})
    lena.store.holds.clear()
    assert (await lena.saves("monday")).balance.used == 1
    assert lena.used() == 1


async def test_practice_beyond_the_plans_last_session_counts_as_usage_and_leaves_the_plan_complete(lena: Learner) -> None:
    plan = await lena.creates_plan(2, 2)
    saved = [await lena.saves(plan=plan) for _ in range(3)]
    assert [item.plan and item.plan.completed_sessions for item in saved] == [1, 2, 2]
    assert saved[-1].plan is not None
    assert saved[-1].plan.progress_percentage == 100
    assert lena.used() == 3


async def test_a_plan_without_practice_sessions_books_them_all_above_the_limit(store: FakeLearningStore) -> None:
    store.plans["fluency", 1] = Plan("fluency", 1, "Fluency", {"assessments": Metered(2)})
    saved = await Learner(store).saves()
    assert (saved.session.over_limit, saved.balance.limit, saved.balance.used, saved.balance.remaining) == (True, 0, 1, 0)


async def test_an_unlimited_plan_is_never_over_its_limit(store: FakeLearningStore) -> None:
    store.plans["fluency", 1] = Plan("fluency", 1, "Fluency", {"practice_sessions": Metered(None)})
    lena = Learner(store)
    assert not any([(await lena.saves()).session.over_limit for _ in range(10)])


# Saving again changes nothing.


async def test_saving_again_changes_nothing_and_answers_with_what_is_stored(lena: Learner) -> None:
    plan = await lena.creates_plan()
    first = await lena.saves("monday", plan)
    lena.now += timedelta(hours=1)
    again = await lena.saves("monday", plan)
    assert (again.session, again.plan, again.balance, again.is_new) == (first.session, first.plan, first.balance, False)
    assert lena.used() == 1


async def test_saving_again_after_others_shows_the_stored_session_and_where_things_stand_now(lena: Learner) -> None:
    plan = await lena.creates_plan()
    first = await lena.saves("monday", plan)
    latest = await lena.saves("tuesday", plan)
    again = await lena.saves("monday", plan)
    assert (again.session, again.plan, again.balance) == (first.session, latest.plan, latest.balance)


async def test_a_session_booked_above_the_limit_is_told_so_again(lena: Learner) -> None:
    for id in ("a", "b", "c", "d"):
        await lena.saves(id)
    assert [(await lena.saves(id)).session.over_limit for id in ("c", "d")] == [False, True]
    assert lena.used() == 4


@pytest.mark.parametrize("other", [Practice(541), Practice(540, "debate"), Practice(540, summary="Spoke.")])
async def test_other_content_under_the_same_id_is_a_conflict_and_changes_nothing(lena: Learner, other: Practice) -> None:
    stored = (await lena.saves("monday")).session
    with pytest.raises(PracticeSessionConflict):
        await lena.saves("monday", practice=other)
    assert lena.store.practice_sessions["lena", "monday"] == stored
    assert lena.used() == 1


async def test_another_learning_plan_under_the_same_id_is_a_conflict(lena: Learner) -> None:
    one, other = await lena.creates_plan(), await lena.creates_plan()
    await lena.saves("monday", one)
    for plan in (other, None):
        with pytest.raises(PracticeSessionConflict):
            await lena.saves("monday", plan)
    assert (await lena.saves("monday", one)).plan == one.practised()


async def test_both_screens_at_once_save_one_session(store: FakeLearningStore, lena: Learner) -> None:
    class SlowUnitOfWork(FakeLearningUnitOfWork):
        async def commit(self) -> None:
            await asyncio.sleep(0)  # lets the others run between a decision and its commit
            await super().commit()

    plan = await lena.creates_plan()
    use_case = SavePracticeSession(lambda: SlowUnitOfWork(store), lambda: NOW)
    outcomes = await asyncio.gather(*(use_case.execute(calls(lena.to_save("monday", plan))) for _ in range(10)))
    saved = [outcome for (outcome,) in outcomes if isinstance(outcome, SavedPractice)]
    assert [item.is_new for item in saved].count(True) == 1
    assert {(item.session, item.plan, item.balance) for item in saved} == {(saved[0].session, saved[0].plan, saved[0].balance)}
    assert lena.used() == 1


async def test_a_list_of_saves_counts_each_session_once_and_sees_those_before_it(lena: Learner, tom: Learner) -> None:
    plan = await lena.creates_plan()
    commands = [lena.to_save("a", plan), lena.to_save("a", plan), tom.to_save("a"), lena.to_save("b", plan), lena.to_save()]
    outcomes = [outcome for outcome in await lena.saving.execute(calls(*commands)) if isinstance(outcome, SavedPractice)]
    assert [item.is_new for item in outcomes] == [True, False, True, True, True]
    assert [item.plan and item.plan.completed_sessions for item in outcomes] == [1, 1, None, 2, None]
    assert [item.balance.used for item in outcomes] == [1, 1, 1, 2, 3]
    assert (lena.used(), tom.used()) == (3, 1)


async def test_a_command_that_is_refused_leaves_its_neighbours_as_they_would_be_without_it(lena: Learner) -> None:
    plan = await lena.creates_plan()
    unknown = replace(lena.to_save("b"), learning_plan_id="unknown")
    nobodys = replace(lena.to_save("b"), customer_id="nobody")
    outcomes = await lena.saving.execute(calls(unknown, nobodys, lena.to_save("b", plan)))
    assert [type(outcome) for outcome in outcomes] == [LearningPlanNotFound, CustomerNotFound, SavedPractice]
    assert lena.used() == 1


# The learning plan.


async def test_a_session_that_was_started_for_a_plan_belongs_to_it_though_the_save_does_not_say_so(lena: Learner) -> None:
    plan = await lena.creates_plan()
    await lena.starts("monday", plan)
    saved, again = await lena.saves("monday"), await lena.saves("monday")
    assert saved.plan == again.plan == plan.practised()
    assert saved.session.learning_plan_id == plan.id


async def test_the_plan_that_the_save_names_counts_where_it_is_another_than_at_the_start(lena: Learner) -> None:
    one, other = await lena.creates_plan(), await lena.creates_plan()
    await lena.starts("monday", one)
    assert (await lena.saves("monday", other)).plan == other.practised()


async def test_a_started_session_is_no_progress_before_it_is_saved(lena: Learner) -> None:
    plan = await lena.creates_plan()
    await lena.starts("monday", plan)
    assert (await lena.saves("tuesday", plan)).plan == plan.practised()


async def test_a_plan_that_is_anothers_is_not_found_and_nothing_is_booked(lena: Learner, tom: Learner) -> None:
    plan = await tom.creates_plan()
    with pytest.raises(LearningPlanNotFound):
        await lena.saves("monday", plan)
    assert (lena.used(), lena.store.practice_sessions) == (0, {})
    assert (await tom.saves("monday", plan)).plan == plan.practised()


# A new billing period.


async def test_a_new_period_begins_with_all_sessions_and_the_same_progress(store: FakeLearningStore) -> None:
    lena = Learner(store, LENA, now=PERIOD.end - timedelta(microseconds=1))
    plan = await lena.creates_plan()
    for _ in range(4):
        last = await lena.saves(plan=plan)
    assert last.session.over_limit
    lena.now = PERIOD.end
    first = await lena.saves(plan=plan)
    assert (first.balance.used, first.balance.remaining, first.session.over_limit) == (1, 2, False)
    assert first.plan is not None
    assert first.plan.completed_sessions == 5


async def test_a_session_counts_in_the_period_in_which_it_is_saved(store: FakeLearningStore) -> None:
    lena = Learner(store, LENA, now=PERIOD.end - timedelta(minutes=5))
    await lena.starts("monday")
    lena.now = PERIOD.end
    assert (await lena.saves("monday")).balance.used == 1
    assert store.used_within("lena", "practice_sessions", PERIOD) == 0


async def test_where_the_commit_fails_nothing_is_saved_and_nothing_is_booked(store: FakeLearningStore, lena: Learner) -> None:
    class FailingUnitOfWork(FakeLearningUnitOfWork):
        async def commit(self) -> None:
            raise StorageUnavailable

    await lena.starts("monday")
    use_case = SavePracticeSession(lambda: FailingUnitOfWork(store), lambda: NOW)
    with pytest.raises(StorageUnavailable):
        await use_case.execute(calls(lena.to_save("monday")))
    assert (lena.used(), lena.held(), store.practice_sessions["lena", "monday"].status) == (0, 1, PracticeStatus.STARTED)
    assert (await lena.saves("monday")).session.practice == PRACTICE
