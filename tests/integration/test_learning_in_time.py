"""What changes for a learner at an exact instant, on PostgreSQL, with a clock that the test sets."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from core.learning.practice_session import Practice
from core.learning.save_practice_session import SavedPractice, SavePracticeSessionCommand
from core.learning.start_practice_session import HELD_FOR, StartedPractice, StartPracticeSessionCommand
from core.learning.take_assessment import TakeAssessmentCommand
from core.metering.balance import LimitExceeded
from core.metering.use_case import execute_one
from tests.integration.in_process import NOW, Engine, engine_on

PERIOD_END = datetime(2026, 12, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    async with engine_on(database_url, now=NOW) as engine:
        yield engine


async def start(engine: Engine, customer_id: str, id: str | None = None) -> StartedPractice:
    started = await execute_one(engine.container.start_practice_session(), StartPracticeSessionCommand(customer_id, id))
    assert isinstance(started, StartedPractice)
    return started


async def save(engine: Engine, customer_id: str, id: str | None = None) -> SavedPractice:
    command = SavePracticeSessionCommand(customer_id=customer_id, practice=Practice(540), recorded_by="app", id=id)
    saved = await execute_one(engine.container.save_practice_session(), command)
    assert isinstance(saved, SavedPractice)
    return saved


async def remaining(engine: Engine, customer_id: str) -> list[int | None]:
    """Of both features, as the subscription's status reads it."""
    account = await engine.container.account_reader().read(customer_id, ["practice_sessions", "assessments"], engine.time())
    return [account.balance(feature).remaining for feature in ("practice_sessions", "assessments")]


async def test_an_abandoned_start_gives_its_session_back_at_the_instant_at_which_its_hold_expires(engine: Engine) -> None:
    lena = await engine.customer(practice_sessions=1, assessments=1)
    first = await start(engine, lena, "monday")
    engine.now = NOW + HELD_FOR - INSTANT
    assert (await start(engine, lena, "monday")).hold == first.hold
    with pytest.raises(LimitExceeded):
        await start(engine, lena)
    assert await remaining(engine, lena) == [0, 1]
    engine.now = NOW + HELD_FOR
    assert await remaining(engine, lena) == [1, 1]
    second = await start(engine, lena)
    assert second.balance.held == 1
    with pytest.raises(LimitExceeded):
        await start(engine, lena, "monday")
    assert (await save(engine, lena, "monday")).balance.used == 1


async def test_a_session_that_was_abandoned_and_started_anew_holds_one(engine: Engine) -> None:
    lena = await engine.customer(practice_sessions=2, assessments=1)
    await start(engine, lena, "monday")
    engine.now = NOW + 2 * HELD_FOR
    anew = await start(engine, lena, "monday")
    assert (anew.is_new, anew.session.started_at, anew.balance.held) == (True, engine.now, 1)
    saved = await save(engine, lena, "monday")
    assert (saved.balance.used, saved.balance.held) == (1, 0)


async def test_a_new_billing_period_has_everything_left_at_its_first_instant(engine: Engine) -> None:
    lena = await engine.customer(practice_sessions=30, assessments=2)
    for id in ("a", "b"):
        await save(engine, lena, id)
    await execute_one(
        engine.container.take_assessment(), TakeAssessmentCommand(customer_id=lena, kind="speaking", score=None, recorded_by="app")
    )
    for now, left in ((PERIOD_END - INSTANT, [28, 1]), (PERIOD_END, [30, 2])):
        engine.now = now
        assert await remaining(engine, lena) == left
    again = await save(engine, lena, "a")
    assert (again.is_new, again.balance.remaining) == (False, 30)
    assert (await save(engine, lena, "c")).balance.remaining == 29
    assert await remaining(engine, lena) == [29, 2]


async def test_a_session_counts_in_the_period_in_which_it_is_saved_though_it_was_started_in_the_one_before(engine: Engine) -> None:
    lena = await engine.customer(practice_sessions=30, assessments=2)
    engine.now = PERIOD_END - INSTANT
    await start(engine, lena, "monday")
    engine.now = PERIOD_END
    assert await remaining(engine, lena) == [29, 2]
    saved = await save(engine, lena, "monday")
    assert (saved.balance.used, saved.balance.held, saved.session.saved_at) == (1, 0, PERIOD_END)
    engine.now = PERIOD_END - INSTANT
    assert await remaining(engine, lena) == [30, 2]
