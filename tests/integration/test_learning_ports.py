"""What the repositories of the learning product promise, kept by PostgreSQL and by the fakes that the unit tests trust."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import pytest

from core.learning.assessment import Assessment
from core.learning.learning_plan import LearningPlan
from core.learning.ports import LearnerKey, LearningUnitOfWork
from core.learning.practice_session import Practice, PracticeSession
from core.metering.repository import Repository
from infrastructure.ids import new_id
from tests.integration.units_of_work import Storage
from tests.unit.fakes.learning import FakeLearningStore

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
PLAN = LearningPlan("plan", "lena", "es", "B1", 8, 2, NOW)
SESSION = PracticeSession("monday", "lena", "plan", NOW, new_id())
ASSESSMENT = Assessment("spring", "lena", "speaking", Decimal("78.5"), NOW)

T = TypeVar("T")
UnitsOfWork = Callable[[], LearningUnitOfWork]


@pytest.fixture
def fake_store() -> FakeLearningStore:
    return FakeLearningStore()


@pytest.fixture
def units_of_work(storage: Storage) -> UnitsOfWork:
    return storage.open


async def keep(units_of_work: UnitsOfWork, *things: LearningPlan | PracticeSession | Assessment, but_fail: Exception | None = None) -> None:
    """Writes them in one transaction, which fails before its end where an error is given."""
    async with units_of_work() as uow:
        for thing in things:
            match thing:
                case LearningPlan():
                    uow.learning_plans.save(thing)
                case PracticeSession():
                    uow.practice_sessions.save(thing)
                case Assessment():
                    uow.assessments.save(thing)
        if but_fail is not None:
            raise but_fail
        await uow.commit()


async def found(repository: Repository[LearnerKey, T], *named: tuple[str, str]) -> dict[LearnerKey, T]:
    """Those that exist, by their keys, once they are loaded."""
    keys = [LearnerKey(*key) for key in named]
    await repository.load(keys)
    return {key: thing for key in keys if (thing := repository.get(key)) is not None}


def saved(id: str, customer_id: str = "lena", plan_id: str | None = "plan") -> PracticeSession:
    return PracticeSession(id, customer_id, plan_id, practice=Practice(540), saved_at=NOW)


async def test_what_was_written_is_found_as_it_was(units_of_work: UnitsOfWork) -> None:
    finished = replace(SESSION, id="done", practice=Practice(540, "debate", "Spoke."), saved_at=NOW, over_limit=True)
    scoreless = replace(ASSESSMENT, id="no score", score=None)
    await keep(units_of_work, SESSION, finished, ASSESSMENT, scoreless, PLAN)
    async with units_of_work() as uow:
        assert await found(uow.learning_plans, ("lena", "plan")) == {("lena", "plan"): replace(PLAN, practised_sessions=1)}
        named = [("lena", "monday"), ("lena", "done")]
        assert await found(uow.practice_sessions, *named) == dict(zip(named, (SESSION, finished), strict=True))
        named = [("lena", "spring"), ("lena", "no score")]
        assert await found(uow.assessments, *named) == dict(zip(named, (ASSESSMENT, scoreless), strict=True))


async def test_what_does_not_exist_or_is_another_customers_is_not_found(units_of_work: UnitsOfWork) -> None:
    await keep(units_of_work, PLAN, SESSION, ASSESSMENT)
    async with units_of_work() as uow:
        for repository in (uow.learning_plans, uow.practice_sessions, uow.assessments):
            assert await found(repository, ("tom", "plan"), ("tom", "monday"), ("tom", "spring"), ("lena", "nothing")) == {}


async def test_the_same_id_of_two_customers_is_two_things_and_naming_one_twice_finds_it_once(units_of_work: UnitsOfWork) -> None:
    toms = [replace(PLAN, customer_id="tom"), replace(SESSION, customer_id="tom"), replace(ASSESSMENT, customer_id="tom", kind="writing")]
    await keep(units_of_work, PLAN, SESSION, ASSESSMENT, *toms)
    async with units_of_work() as uow:
        both = [("lena", "spring"), ("tom", "spring"), ("lena", "spring")]
        assert await found(uow.assessments, *both) == {("lena", "spring"): ASSESSMENT, ("tom", "spring"): toms[2]}
        assert set(await found(uow.practice_sessions, ("tom", "monday"), ("lena", "monday"))) == {("tom", "monday"), ("lena", "monday")}


async def test_a_sessions_next_state_takes_the_place_of_its_last_one(units_of_work: UnitsOfWork) -> None:
    finished = replace(SESSION, learning_plan_id=None, practice=Practice(1), saved_at=NOW)
    await keep(units_of_work, PLAN, SESSION)
    await keep(units_of_work, replace(finished, over_limit=True), finished)
    async with units_of_work() as uow:
        assert await found(uow.practice_sessions, ("lena", "monday")) == {("lena", "monday"): finished}


async def test_a_plan_has_practised_the_sessions_that_were_saved_for_it_and_no_others(units_of_work: UnitsOfWork) -> None:
    toms, other = replace(PLAN, customer_id="tom"), replace(PLAN, id="other")
    counted = [saved("a"), saved("b")]
    not_counted = [SESSION, saved("c", plan_id=None), saved("d", plan_id="other"), saved("a", customer_id="tom")]
    await keep(units_of_work, PLAN, toms, other, *counted, *not_counted)
    async with units_of_work() as uow:
        plans = await found(uow.learning_plans, ("lena", "plan"), ("tom", "plan"), ("lena", "other"))
    assert {key: plan.practised_sessions for key, plan in plans.items()} == {("lena", "plan"): 2, ("tom", "plan"): 1, ("lena", "other"): 1}


async def test_what_was_not_committed_was_never_written(units_of_work: UnitsOfWork) -> None:
    with pytest.raises(RuntimeError):
        await keep(units_of_work, PLAN, SESSION, ASSESSMENT, but_fail=RuntimeError())
    async with units_of_work() as uow:
        assert await found(uow.learning_plans, ("lena", "plan")) == {}
        assert await found(uow.practice_sessions, ("lena", "monday")) == {}
        assert await found(uow.assessments, ("lena", "spring")) == {}
