"""A session is created where the plan has one left, and minutes to transcribe it; session and usage are saved together."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from pytest_mock import MockerFixture

from core.errors import StorageUnavailable
from core.metering.account import CustomerNotFound
from core.metering.balance import FeatureNotInPlan, LimitExceeded
from core.metering.idempotency import Once, Replay
from core.metering.ledger import Origin, UsageRecord
from core.metering.meters import Meter
from core.metering.use_case import Call
from core.plans.periods import Billing, Reset
from core.plans.plan import Metered, Plan
from core.sessions.create_session import CreateSession
from core.sessions.session import Session, SessionKey, SessionStatus, SttProvider
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, BILLING, NOW, ORIGIN, PERIOD, PRO
from tests.unit.fakes.metering import Counter, Hold
from tests.unit.fakes.sessions import Coach, FakeSessionsUnitOfWork, SessionStore

MICROSECOND = timedelta(microseconds=1)
GLOBEX = replace(ACME, id="globex")
SMALL = Plan("small", 1, "Small", {"sessions": Metered(8), "minutes": Metered(500 * 60)})


@pytest.fixture
def coach() -> Coach:
    return Coach()


def book(coach: Coach, feature: str, quantity: int, days_ago: int) -> None:
    """Usage that the ledger has, of some days before NOW."""
    at = NOW - timedelta(days=days_ago)
    coach.store.ledger.append(UsageRecord(coach.store.new_id(), coach.customer.id, feature, quantity, at, at, ORIGIN))


async def test_a_session_is_stored_as_it_was_asked_for_and_waits_for_its_upload(coach: Coach) -> None:
    session = await coach.creates("Weekly coaching")
    assert session == Session(
        id=session.id,
        customer_id="acme",
        title="Weekly coaching",
        language="en-US",
        stt_provider=SttProvider.WHISPER,
        created_at=NOW,
        status=SessionStatus.UPLOADING,
    )
    assert coach.store.sessions == {SessionKey("acme", session.id): session}


async def test_a_session_books_one_session_and_no_minutes(coach: Coach) -> None:
    session = await coach.creates()
    (record,) = coach.store.ledger
    assert (record.feature, record.quantity, record.occurred_at, record.overage) == ("sessions", 1, NOW, 0)
    assert record.origin == Origin("sessions", "app", str(session.id))
    assert (coach.used("sessions"), coach.used("minutes")) == (1, 0)


# The limit counts over the customer's billing period.


async def test_usage_is_counted_over_the_billing_period_that_contains_now(coach: Coach, mocker: MockerFixture) -> None:
    period = mocker.spy(Billing, "period")
    used_within = mocker.spy(coach.store, "used_within")
    await coach.creates()
    assert {call.args for call in period.call_args_list} == {(BILLING, Reset.BILLING_PERIOD, NOW)}
    assert {call.args for call in used_within.call_args_list} == {("acme", "sessions", PERIOD), ("acme", "minutes", PERIOD)}


async def test_the_moment_of_the_decision_is_the_clocks_and_is_read_once(coach: Coach, mocker: MockerFixture) -> None:
    clock = mocker.Mock(side_effect=[PERIOD.start])
    period = mocker.spy(Billing, "period")
    (outcome,) = await CreateSession(coach.store.unit_of_work, clock).execute(calls(coach.to_create()))
    assert isinstance(outcome, Session)
    assert outcome.created_at == PERIOD.start
    assert {call.args[2] for call in period.call_args_list} == {PERIOD.start}


async def test_minutes_of_earlier_periods_do_not_count_against_a_fresh_month(coach: Coach) -> None:
    """A customer with a fresh month was once told "Total minutes limit exceeded: 500"."""
    book(coach, "minutes", 500 * 60, days_ago=30)
    book(coach, "sessions", 10, days_ago=30)
    await coach.creates()
    assert coach.used() == 1


async def test_the_first_instant_of_a_new_period_has_all_its_sessions_again(coach: Coach) -> None:
    coach.now = PERIOD.end - MICROSECOND
    for _ in range(10):
        await coach.creates()
    with pytest.raises(LimitExceeded):
        await coach.creates()
    coach.now = PERIOD.end
    await coach.creates()
    assert coach.used() == 10


# What is refused leaves nothing.


async def test_where_no_session_is_left_creation_is_refused_with_the_facts(coach: Coach) -> None:
    book(coach, "sessions", 10, days_ago=1)
    with pytest.raises(LimitExceeded) as refusal:
        await coach.creates()
    facts = refusal.value.facts()
    assert (facts["feature"], facts["current_usage"], facts["limit"], facts["remaining"]) == ("sessions", 10, 10, 0)
    assert facts["resets_at"] == PERIOD.end
    assert (coach.store.sessions, coach.used()) == ({}, 10)


@pytest.mark.parametrize("seconds", [500 * 60, 500 * 60 + 1])
async def test_where_no_minutes_are_left_creation_is_refused_and_no_session_is_booked(coach: Coach, seconds: int) -> None:
    book(coach, "minutes", seconds, days_ago=1)
    with pytest.raises(LimitExceeded) as refusal:
        await coach.creates()
    assert (refusal.value.feature, refusal.value.facts()["requested"]) == ("minutes", 0)
    assert (coach.store.sessions, coach.used()) == ({}, 0)


async def test_one_second_that_is_left_is_enough_to_create_a_session(coach: Coach) -> None:
    book(coach, "minutes", 500 * 60 - 1, days_ago=1)
    await coach.creates()
    assert coach.used() == 1


async def test_minutes_that_others_hold_are_not_left(coach: Coach) -> None:
    coach.store.holds["acme", "minutes", coach.store.new_id()] = Hold(500 * 60, NOW + MICROSECOND)
    with pytest.raises(LimitExceeded):
        await coach.creates()
    coach.now += MICROSECOND
    await coach.creates()


@pytest.mark.parametrize("lacking", ["sessions", "minutes"])
async def test_a_plan_that_lacks_sessions_or_minutes_creates_none(coach: Coach, lacking: str) -> None:
    entitlements = {key: entitlement for key, entitlement in PRO.entitlements.items() if key != lacking}
    coach.store.plans["pro", 3] = replace(PRO, entitlements=entitlements)
    with pytest.raises(FeatureNotInPlan) as refusal:
        await coach.creates()
    assert refusal.value.feature == lacking
    assert (coach.store.sessions, coach.store.ledger) == ({}, [])


async def test_another_plan_acts_at_once_and_keeps_what_was_used(coach: Coach) -> None:
    for _ in range(8):
        await coach.creates()
    coach.store.plans["small", 1] = SMALL
    coach.store.customers["acme"] = replace(ACME, plan_key="small", plan_version=1)
    with pytest.raises(LimitExceeded) as refusal:
        await coach.creates()
    assert (refusal.value.facts()["current_usage"], refusal.value.facts()["limit"]) == (8, 8)


# Many at once.


async def test_of_a_list_as_many_are_created_as_are_left(coach: Coach) -> None:
    book(coach, "sessions", 8, days_ago=1)
    outcomes = await coach.creating.execute(calls(*(coach.to_create(title) for title in "abc")))
    assert [type(outcome) for outcome in outcomes] == [Session, Session, LimitExceeded]
    assert [session.title for session in coach.store.sessions.values()] == ["a", "b"]
    assert coach.used() == 10


async def test_customers_are_decided_apart_and_an_unknown_one_is_told_so() -> None:
    store = SessionStore([PRO], [ACME, GLOBEX])
    acme, globex = Coach(store), Coach(store, GLOBEX)
    book(acme, "sessions", 10, days_ago=1)
    nobody = replace(acme.to_create(), customer_id="nobody")
    outcomes = await acme.creating.execute(calls(acme.to_create(), nobody, globex.to_create()))
    assert [type(outcome) for outcome in outcomes] == [LimitExceeded, CustomerNotFound, Session]
    assert (acme.used(), globex.used()) == (10, 1)


async def test_the_same_key_creates_one_session_and_is_answered_alike(coach: Coach) -> None:
    call = Call(coach.to_create(), Once("k", b"same input", lambda session: session.id.bytes))
    (first,) = await coach.creating.execute([call])
    assert isinstance(first, Session)
    assert await coach.creating.execute([call]) == [Replay(first.id.bytes)]
    assert (len(coach.store.sessions), coach.used()) == (1, 1)


async def test_creations_at_the_same_time_never_take_more_than_the_limit(coach: Coach) -> None:
    class SlowUnitOfWork(FakeSessionsUnitOfWork):
        async def commit(self) -> None:
            await asyncio.sleep(0)  # lets the others run between a decision and its commit
            await super().commit()

    creating = CreateSession(lambda: SlowUnitOfWork(coach.store), coach.clock)
    outcomes = await asyncio.gather(*(creating.execute(calls(coach.to_create())) for _ in range(12)))
    assert sum(isinstance(outcome, Session) for (outcome,) in outcomes) == 10
    assert len(coach.store.sessions) == coach.used() == 10


async def test_where_the_commit_fails_there_is_neither_session_nor_usage(coach: Coach) -> None:
    class FailingUnitOfWork(FakeSessionsUnitOfWork):
        async def commit(self) -> None:
            raise StorageUnavailable

    with pytest.raises(StorageUnavailable):
        await CreateSession(lambda: FailingUnitOfWork(coach.store), coach.clock).execute(calls(coach.to_create()))
    assert (coach.store.sessions, coach.store.ledger) == ({}, [])


async def test_the_counter_shows_the_period_that_was_counted(coach: Coach) -> None:
    await coach.creates()
    assert coach.store.counters[Meter("acme", "sessions")] == Counter(PERIOD, 1)
