"""A finished session books its minutes, to the second: always, and once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from core.metering.balance import LimitExceeded
from core.metering.ledger import Origin
from core.sessions.complete_session import CompleteSession
from core.sessions.session import InvalidSessionState, Session, SessionNotFound, SessionStatus
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, PERIOD, PRO
from tests.unit.fakes.sessions import Coach, FakeSessionsUnitOfWork, SessionStore

HOUR = timedelta(hours=1)
LIMIT = 500 * 60


@pytest.fixture
def coach() -> Coach:
    return Coach()


async def test_a_completed_session_is_stored_with_its_duration_and_books_it(coach: Coach) -> None:
    session = await coach.creates()
    coach.now += HOUR
    completed = await coach.completes(session, 1801)
    assert completed == replace(session, status=SessionStatus.COMPLETED, duration_seconds=1801, finished_at=NOW + HOUR)
    assert coach.session(session) == completed
    record = coach.store.ledger[-1]
    assert (record.feature, record.quantity, record.occurred_at) == ("minutes", 1801, NOW + HOUR)
    assert record.origin == Origin("sessions", "transcriber", str(session.id))
    assert (coach.used("sessions"), coach.used("minutes")) == (1, 1801)


async def test_a_session_of_no_length_is_completed_and_books_nothing(coach: Coach) -> None:
    session = await coach.creates()
    assert (await coach.completes(session, 0)).status is SessionStatus.COMPLETED
    assert [record.feature for record in coach.store.ledger] == ["sessions"]
    assert coach.session(session).duration_seconds == 0


async def test_minutes_above_the_limit_are_booked_as_overage_and_the_next_creation_is_refused(coach: Coach) -> None:
    session = await coach.creates()
    await coach.completes(session, LIMIT + 30)
    assert (coach.used("minutes"), coach.store.ledger[-1].overage) == (LIMIT + 30, 30)
    with pytest.raises(LimitExceeded) as refusal:
        await coach.creates()
    assert refusal.value.feature == "minutes"


async def test_minutes_count_in_the_period_in_which_the_session_is_completed(coach: Coach) -> None:
    session = await coach.creates()
    coach.now = PERIOD.end
    await coach.completes(session, 60)
    assert (coach.used("sessions"), coach.used("minutes")) == (1, 0)


async def test_completing_again_with_the_same_duration_changes_nothing(coach: Coach) -> None:
    session = await coach.creates()
    completed = await coach.completes(session, 60)
    coach.now += HOUR
    assert await coach.completes(session, 60) == completed
    assert (coach.session(session), coach.used("minutes")) == (completed, 60)


async def test_completing_with_another_duration_is_refused_and_books_nothing(coach: Coach) -> None:
    session = await coach.creates()
    completed = await coach.completes(session, 60)
    with pytest.raises(InvalidSessionState) as refusal:
        await coach.completes(session, 61)
    assert refusal.value.facts() == {"session_id": str(session.id), "status": "completed"}
    assert (coach.session(session), coach.used("minutes")) == (completed, 60)


async def test_a_failed_session_cannot_be_completed(coach: Coach) -> None:
    session = await coach.creates()
    await coach.fails(session)
    with pytest.raises(InvalidSessionState):
        await coach.completes(session, 60)
    assert coach.used("minutes") == 0


async def test_a_list_completes_each_session_once_and_sees_those_before_it(coach: Coach) -> None:
    one, other = await coach.creates(), await coach.creates()
    commands = [coach.to_complete(one, 60), coach.to_complete(one, 60), coach.to_complete(one, 90), coach.to_complete(other, 30)]
    outcomes = await coach.completing.execute(calls(*commands))
    assert [type(outcome) for outcome in outcomes] == [Session, Session, InvalidSessionState, Session]
    assert coach.used("minutes") == 90


async def test_many_who_complete_a_session_at_the_same_time_book_it_once(coach: Coach) -> None:
    class SlowUnitOfWork(FakeSessionsUnitOfWork):
        async def commit(self) -> None:
            await asyncio.sleep(0)  # lets the others run between a decision and its commit
            await super().commit()

    session = await coach.creates()
    completing = CompleteSession(lambda: SlowUnitOfWork(coach.store), coach.clock)
    outcomes = await asyncio.gather(*(completing.execute(calls(coach.to_complete(session, 60))) for _ in range(5)))
    assert {type(outcome) for (outcome,) in outcomes} == {Session}
    assert coach.used("minutes") == 60


async def test_only_the_customers_own_sessions_can_be_completed() -> None:
    store = SessionStore([PRO], [ACME, replace(ACME, id="globex")])
    acme, globex = Coach(store), Coach(store, replace(ACME, id="globex"))
    session = await acme.creates()
    for unknown in (session, replace(session, id=UUID(int=404))):
        with pytest.raises(SessionNotFound) as refusal:
            await globex.completes(unknown, 60)
        assert refusal.value.identity == str(unknown.id)
    assert (acme.session(session), globex.used("minutes")) == (session, 0)
