"""Consuming usage, and the counters that it is held to: within a period, into the next, and when a calendar or a plan changes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from core.metering.balance import Amount, LimitExceeded
from core.metering.consume_usage import Consumed, ConsumeUsage, ConsumeUsageCommand, Mode
from core.metering.ledger import InvalidOccurredAt
from core.metering.meters import Meter
from core.metering.ports import UnitOfWork
from core.metering.use_case import execute_one
from core.plans.periods import Period
from core.plans.plan import Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, ORIGIN, PERIOD, PRO
from tests.unit.fakes.metering import Counter, FakeStore, Hold

STARTER = Plan("starter", 1, "Starter", {"sessions": Metered(3)})


@pytest.fixture
def store() -> FakeStore:
    return FakeStore([PRO, STARTER], [ACME])


def consume_usage(store: FakeStore, now: datetime = NOW) -> ConsumeUsage:
    return ConsumeUsage(store.unit_of_work, lambda: now)


def consume(quantity: int, *, mode: Mode = Mode.ENFORCE, occurred_at: datetime | None = None) -> ConsumeUsageCommand:
    return ConsumeUsageCommand(
        customer_id="acme", amounts=[Amount("sessions", Decimal(quantity))], origin=ORIGIN, mode=mode, occurred_at=occurred_at
    )


async def test_several_amounts_are_booked_together_with_where_they_then_stand(store: FakeStore) -> None:
    command = ConsumeUsageCommand(
        customer_id="acme", amounts=[Amount("sessions", Decimal(1)), Amount("minutes", Decimal("30.5"))], origin=ORIGIN
    )
    consumed = await execute_one(consume_usage(store), command)
    assert isinstance(consumed, Consumed)
    assert consumed.records == store.ledger
    assert {feature: balance.used for feature, balance in consumed.balances.items()} == {"sessions": 1, "minutes": 1830}
    assert consumed.over_limit is False


async def test_where_one_amount_does_not_fit_none_is_booked(store: FakeStore) -> None:
    command = ConsumeUsageCommand(
        customer_id="acme", amounts=[Amount("sessions", Decimal(1)), Amount("minutes", Decimal("500.1"))], origin=ORIGIN
    )
    with pytest.raises(LimitExceeded) as refused:
        await execute_one(consume_usage(store), command)
    assert refused.value.feature == "minutes"
    assert store.ledger == []


async def test_usage_is_over_the_limit_where_one_of_its_amounts_is(store: FakeStore) -> None:
    amounts = [Amount("sessions", Decimal(1)), Amount("assessments", Decimal(1)), Amount("ai_runs", Decimal(1))]
    consumed = await execute_one(
        consume_usage(store), ConsumeUsageCommand(customer_id="acme", amounts=amounts, origin=ORIGIN, mode=Mode.RECORD)
    )
    assert isinstance(consumed, Consumed)
    assert consumed.over_limit is True


# Rule 7: enforced usage happens now.


@pytest.mark.parametrize("apart", [timedelta(minutes=5, microseconds=1), timedelta(minutes=-5, microseconds=-1)])
async def test_enforced_usage_may_not_be_dated(store: FakeStore, apart: timedelta) -> None:
    with pytest.raises(InvalidOccurredAt):
        await execute_one(consume_usage(store), consume(1, occurred_at=NOW + apart))
    assert store.ledger == []


@pytest.mark.parametrize("apart", [timedelta(minutes=5), timedelta(minutes=-5)])
async def test_enforced_usage_happens_now_though_the_callers_clock_is_off_by_5_minutes(store: FakeStore, apart: timedelta) -> None:
    await execute_one(consume_usage(store), consume(1, occurred_at=NOW + apart))
    assert [record.occurred_at for record in store.ledger] == [NOW]


async def test_recorded_usage_is_booked_beyond_the_limit_and_says_so(store: FakeStore) -> None:
    within, beyond = await consume_usage(store).execute(calls(*(consume(quantity, mode=Mode.RECORD) for quantity in (10, 2))))
    assert isinstance(within, Consumed)
    assert isinstance(beyond, Consumed)
    assert (within.over_limit, beyond.over_limit) == (False, True)
    assert store.counters[Meter("acme", "sessions")] == Counter(PERIOD, 12)


# Rules 5 and 6: a counter that sums another period than the one wanted is rebuilt from the ledger.


async def test_a_counter_of_the_period_that_is_wanted_is_believed(store: FakeStore) -> None:
    store.counters[Meter("acme", "sessions")] = Counter(PERIOD, 9)
    outcomes = await consume_usage(store).execute(calls(consume(1), consume(1)))
    assert [type(outcome) for outcome in outcomes] == [Consumed, LimitExceeded]
    assert store.counters[Meter("acme", "sessions")] == Counter(PERIOD, 10)


async def test_a_counter_that_is_forgotten_is_rebuilt_from_the_ledger(store: FakeStore) -> None:
    await consume_usage(store).execute(calls(consume(3)))
    store.counters[Meter("acme", "sessions")] = Counter(PERIOD, 9)

    class RepairingConsumeUsage(ConsumeUsage):
        async def claims(self, commands: Sequence[ConsumeUsageCommand], uow: UnitOfWork) -> Mapping[str, Collection[Meter]]:
            claims = await super().claims(commands, uow)
            await uow.accounts.forget(claims)
            return claims

    await RepairingConsumeUsage(store.unit_of_work, lambda: NOW).execute(calls(consume(1)))
    assert store.counters[Meter("acme", "sessions")] == Counter(PERIOD, 4)


async def test_usage_before_the_period_does_not_count(store: FakeStore) -> None:
    await consume_usage(store).execute(calls(consume(10)))
    outcome = await execute_one(consume_usage(store, PERIOD.end), consume(10))
    assert isinstance(outcome, Consumed)
    assert store.counters[Meter("acme", "sessions")] == Counter(outcome.balances["sessions"].period, 10)


async def test_usage_recorded_ahead_counts_once_its_period_has_begun(store: FakeStore) -> None:
    last_moment = PERIOD.end - timedelta(minutes=1)
    await consume_usage(store, last_moment).execute(calls(consume(4, mode=Mode.RECORD, occurred_at=PERIOD.end)))
    outcome = await execute_one(consume_usage(store, PERIOD.end), consume(6))
    assert isinstance(outcome, Consumed)
    assert outcome.balances["sessions"].used == 10


async def test_a_moved_anchor_counts_what_the_new_period_contains(store: FakeStore) -> None:
    early = PERIOD.start + timedelta(days=2)
    await consume_usage(store, early).execute(calls(consume(4)))
    await consume_usage(store).execute(calls(consume(3)))
    store.customers["acme"] = replace(ACME, billing=ACME.billing._replace(anchor=early + timedelta(days=1)))
    outcome = await execute_one(consume_usage(store), consume(1))
    assert isinstance(outcome, Consumed)
    assert outcome.balances["sessions"].used == 4
    assert outcome.balances["sessions"].period == Period(early + timedelta(days=1), early + timedelta(days=31))


async def test_a_plan_change_takes_effect_at_once_and_keeps_the_usage(store: FakeStore) -> None:
    await consume_usage(store).execute(calls(consume(5)))
    store.customers["acme"] = replace(ACME, plan_key="starter", plan_version=1)
    refused = (await consume_usage(store).execute(calls(consume(1))))[0]
    assert isinstance(refused, LimitExceeded)
    assert (refused.facts()["current_usage"], refused.facts()["limit"]) == (5, 3)


async def test_a_counter_that_was_rebuilt_is_kept_though_the_command_is_refused(store: FakeStore) -> None:
    await consume_usage(store).execute(calls(consume(99)))
    assert store.counters[Meter("acme", "sessions")] == Counter(PERIOD, 0)


@pytest.mark.parametrize(("expires_at", "admitted"), [(NOW + timedelta(microseconds=1), False), (NOW, True)])
async def test_a_hold_takes_from_the_limit_until_it_expires(store: FakeStore, expires_at: datetime, admitted: bool) -> None:
    store.holds["acme", "sessions", store.new_id()] = Hold(9, expires_at)
    (outcome,) = await consume_usage(store).execute(calls(consume(2)))
    assert isinstance(outcome, Consumed) is admitted
