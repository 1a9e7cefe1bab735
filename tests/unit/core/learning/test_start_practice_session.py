"""Starting holds one practice session, and an abandoned start gives it back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.learning.learning_plan import LearningPlanNotFound
from core.learning.practice_session import PracticeSessionConflict, PracticeStatus
from core.learning.start_practice_session import HELD_FOR, StartedPractice, StartPracticeSessionCommand
from core.metering.account import CustomerNotFound
from core.metering.balance import FeatureNotInPlan, LimitExceeded
from core.metering.reservations import ReservationState
from core.plans.plan import Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import NOW, PERIOD
from tests.unit.fakes.learning import LENA, FakeLearningStore, Learner


async def test_starting_holds_one_session_and_books_none(lena: Learner) -> None:
    started = await lena.starts("monday")
    assert (started.balance.used, started.balance.held, started.balance.remaining) == (0, 1, 2)
    assert (lena.used(), lena.held()) == (0, 1)
    assert started.is_new
    assert started.hold.expires_at == NOW + HELD_FOR
    assert started.session == lena.store.practice_sessions["lena", "monday"]
    assert (started.session.status, started.session.started_at) == (PracticeStatus.STARTED, NOW)


async def test_a_start_without_an_id_gets_one_of_its_own_each_time(lena: Learner) -> None:
    first, second = await lena.starts(), await lena.starts()
    assert first.session.id != second.session.id
    assert lena.held() == 2


async def test_starting_again_while_held_changes_nothing(lena: Learner) -> None:
    first = await lena.starts("monday")
    lena.now += HELD_FOR - timedelta(microseconds=1)
    again = await lena.starts("monday")
    assert (again.session, again.hold, again.balance) == (first.session, first.hold, first.balance)
    assert not again.is_new
    assert lena.held() == 1


async def test_one_start_too_many_is_refused_and_leaves_nothing_behind(lena: Learner) -> None:
    for _ in range(3):
        await lena.starts()
    with pytest.raises(LimitExceeded) as refusal:
        await lena.starts("monday")
    facts = refusal.value.facts()
    assert [facts[name] for name in ("feature", "current_usage", "held", "requested", "limit", "remaining")] == [
        "practice_sessions",
        *(0, 3, 1, 3, 0),
    ]
    assert ("lena", "monday") not in lena.store.practice_sessions
    assert lena.held() == 3


async def test_what_was_saved_counts_against_the_next_start(lena: Learner) -> None:
    for _ in range(3):
        await lena.saves()
    with pytest.raises(LimitExceeded):
        await lena.starts()


async def test_a_started_session_can_be_started_again_though_none_is_left(lena: Learner) -> None:
    await lena.starts("monday")
    for _ in range(2):
        await lena.saves()
    assert not (await lena.starts("monday")).is_new


async def test_an_abandoned_start_gives_the_session_back_the_moment_its_hold_expires(lena: Learner) -> None:
    for _ in range(3):
        await lena.starts()
    lena.now += HELD_FOR - timedelta(microseconds=1)
    with pytest.raises(LimitExceeded):
        await lena.starts()
    lena.now += timedelta(microseconds=1)
    assert (await lena.starts()).balance.held == 1


async def test_an_abandoned_session_can_be_started_anew_and_holds_one_again(lena: Learner) -> None:
    first = await lena.starts("monday")
    lena.now += HELD_FOR
    anew = await lena.starts("monday")
    assert anew.is_new
    assert (anew.session.started_at, anew.hold.expires_at) == (lena.now, lena.now + HELD_FOR)
    assert anew.hold.id != first.hold.id
    assert lena.held() == 1


async def test_starting_anew_is_refused_where_others_have_taken_what_was_given_back(lena: Learner) -> None:
    await lena.starts("monday")
    lena.now += HELD_FOR
    for _ in range(3):
        await lena.starts()
    with pytest.raises(LimitExceeded):
        await lena.starts("monday")


async def test_a_session_that_has_been_saved_cannot_be_started(lena: Learner) -> None:
    await lena.starts("monday")
    for id in ("monday", "tuesday", "the last one"):
        await lena.saves(id)
        with pytest.raises(PracticeSessionConflict) as refusal:
            await lena.starts(id)
        assert refusal.value.facts() == {"practice_session_id": id, "status": "saved"}
    assert lena.held() == 0


async def test_a_start_within_a_learning_plan_keeps_it(lena: Learner) -> None:
    plan = await lena.creates_plan()
    started = await lena.starts("monday", plan)
    assert started.session.learning_plan_id == plan.id
    assert (await lena.starts("monday")).session == started.session


async def test_starting_again_for_another_learning_plan_is_a_conflict_while_it_is_held(lena: Learner) -> None:
    one, other = await lena.creates_plan(), await lena.creates_plan()
    await lena.starts("monday", one)
    with pytest.raises(PracticeSessionConflict):
        await lena.starts("monday", other)
    lena.now += HELD_FOR
    assert (await lena.starts("monday", other)).session.learning_plan_id == other.id


async def test_a_learning_plan_that_is_unknown_or_anothers_is_not_found_and_nothing_is_held(lena: Learner, tom: Learner) -> None:
    plan = await tom.creates_plan()
    for unknown in (plan, replace(plan, id="unknown")):
        with pytest.raises(LearningPlanNotFound):
            await lena.starts("monday", unknown)
    assert lena.held() == 0
    assert lena.store.practice_sessions == {}


async def test_two_learners_may_name_their_sessions_alike(lena: Learner, tom: Learner) -> None:
    assert (await lena.starts("monday")).is_new
    assert (await tom.starts("monday")).is_new
    assert (lena.held(), tom.held()) == (1, 1)


async def test_commands_on_one_session_within_one_list_hold_one(lena: Learner) -> None:
    outcomes = await lena.starting.execute(calls(*(StartPracticeSessionCommand(id, "monday") for id in ("lena", "lena", "tom", "nobody"))))
    assert [outcome.is_new for outcome in outcomes[:3] if isinstance(outcome, StartedPractice)] == [True, False, True]
    assert isinstance(outcomes[3], CustomerNotFound)
    assert lena.held() == 1


async def test_a_refused_start_is_forgotten_by_the_rest_of_the_list(lena: Learner) -> None:
    commands = [StartPracticeSessionCommand("lena", id) for id in ("a", "b", "c", "d", "d", "a")]
    outcomes = await lena.starting.execute(calls(*commands))
    assert [type(outcome) for outcome in outcomes] == [StartedPractice] * 3 + [LimitExceeded] * 2 + [StartedPractice]
    assert lena.held() == 3


async def test_a_plan_without_practice_sessions_starts_none(store: FakeLearningStore) -> None:
    store.plans["fluency", 1] = Plan("fluency", 1, "Fluency", {"assessments": Metered(2)})
    with pytest.raises(FeatureNotInPlan):
        await Learner(store).starts()


async def test_an_unlimited_plan_starts_any_number(store: FakeLearningStore) -> None:
    store.plans["fluency", 1] = Plan("fluency", 1, "Fluency", {"practice_sessions": Metered(None)})
    lena = Learner(store)
    for _ in range(20):
        assert (await lena.starts()).balance.remaining is None


async def test_what_is_held_at_the_end_of_a_period_is_held_in_the_next_one_until_it_expires(store: FakeLearningStore) -> None:
    lena = Learner(store, LENA, now=PERIOD.end - timedelta(minutes=1))
    await lena.starts("monday")
    lena.now = PERIOD.end
    started = await lena.starts()
    assert (started.balance.used, started.balance.held) == (0, 2)
    assert store.reservations["lena", started.hold.id].state is ReservationState.HELD
