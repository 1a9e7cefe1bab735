"""Whether usage would be admitted: what consuming would say, without booking."""

from decimal import Decimal

import pytest

from core.metering.account import CustomerNotFound
from core.metering.balance import Amount, FeatureNotInPlan, LimitExceeded
from core.metering.check_usage import Checked, CheckUsage, GrantExceeded
from core.metering.consume_usage import Consumed, ConsumeUsage, ConsumeUsageCommand, Mode
from core.metering.meters import Meter
from core.plans.features import Feature, InvalidQuantity
from tests.unit.fakes.accounts import CountedAccountReader
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import ACME, NOW, ORIGIN, PERIOD, PRO
from tests.unit.fakes.metering import Counter, FakeStore


@pytest.fixture
def store() -> FakeStore:
    store = FakeStore([PRO], [ACME], [Feature("seats", "seat")])
    store.counters[Meter("acme", "sessions")] = Counter(PERIOD, 7)
    return store


def listed(**amounts: str) -> list[Amount]:
    return [Amount(feature, Decimal(quantity)) for feature, quantity in amounts.items()]


async def check(store: FakeStore, amounts: list[Amount], mode: Mode = Mode.ENFORCE) -> Checked:
    return await CheckUsage(CountedAccountReader(store), lambda: NOW).execute("acme", amounts, mode)


async def test_what_fits_is_admitted_and_the_balances_are_those_before(store: FakeStore) -> None:
    checked = await check(store, listed(sessions="3", minutes="500"))
    assert checked.refusal is None
    assert {feature: balance.used for feature, balance in checked.balances.items()} == {"sessions": 7, "minutes": 0}


async def test_what_does_not_fit_is_refused_and_the_balances_are_told_all_the_same(store: FakeStore) -> None:
    checked = await check(store, listed(minutes="1", sessions="4"))
    assert isinstance(checked.refusal, LimitExceeded)
    assert (checked.refusal.feature, checked.refusal.requested) == ("sessions", 4)
    assert checked.balances.keys() == {"sessions", "minutes"}


async def test_a_feature_that_is_named_twice_is_held_to_its_limit_in_sum(store: FakeStore) -> None:
    checked = await check(store, [*listed(sessions="2"), *listed(sessions="2")])
    assert isinstance(checked.refusal, LimitExceeded)
    assert checked.refusal.requested == 4


async def test_asking_books_nothing(store: FakeStore) -> None:
    for _ in range(3):
        assert (await check(store, listed(sessions="3"))).refusal is None
    assert (store.ledger, store.reservations) == ([], {})


@pytest.mark.parametrize("feature", ["sessions", "assessments", "ai_runs", "ai_cost", "seats", "unheard_of"])
@pytest.mark.parametrize("quantity", ["1", "3", "4"])
@pytest.mark.parametrize("mode", Mode)
async def test_the_answer_is_what_consuming_would_say(store: FakeStore, feature: str, quantity: str, mode: Mode) -> None:
    checked = await check(store, listed(**{feature: quantity}), mode)
    command = ConsumeUsageCommand(customer_id="acme", amounts=listed(**{feature: quantity}), origin=ORIGIN, mode=mode)
    (outcome,) = await ConsumeUsage(store.unit_of_work, lambda: NOW).execute(calls(command))
    if checked.refusal is None:
        assert isinstance(outcome, Consumed)
    else:
        assert type(outcome) is type(checked.refusal)
        assert str(outcome) == str(checked.refusal)


async def test_recording_is_always_admitted(store: FakeStore) -> None:
    assert (await check(store, listed(sessions="99", seats="1"), Mode.RECORD)).refusal is None


async def test_a_feature_that_was_never_declared_is_refused_and_has_no_balance(store: FakeStore) -> None:
    checked = await check(store, listed(sessions="1", unheard_of="1"))
    assert isinstance(checked.refusal, FeatureNotInPlan)
    assert checked.refusal.feature == "unheard_of"
    assert checked.balances.keys() == {"sessions"}


async def test_a_declared_feature_that_the_plan_lacks_is_refused_at_a_limit_of_zero(store: FakeStore) -> None:
    checked = await check(store, listed(seats="1"))
    assert isinstance(checked.refusal, FeatureNotInPlan)
    assert checked.balances["seats"].limit == 0


# Numbers and switches.


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("quantity", ["60", "59.9", "0"])
async def test_a_number_is_granted_up_to_itself(store: FakeStore, quantity: str, mode: Mode) -> None:
    assert await check(store, listed(max_file_size_mb=quantity), mode) == Checked(None, {})


async def test_more_than_the_number_is_refused_with_both(store: FakeStore) -> None:
    checked = await check(store, listed(max_file_size_mb="60.1", sessions="1"))
    assert isinstance(checked.refusal, GrantExceeded)
    assert checked.refusal.facts() == {"plan": "pro", "feature": "max_file_size_mb", "limit": 60, "requested": Decimal("60.1")}
    assert str(checked.refusal) == "Plan 'pro' grants 'max_file_size_mb' up to 60."
    assert checked.balances.keys() == {"sessions"}


async def test_a_switch_that_is_on_admits_anything_and_one_that_is_off_nothing(store: FakeStore) -> None:
    assert (await check(store, listed(exports="5", sessions="1"))).refusal is None
    checked = await check(store, listed(single_sign_on="1", sessions="1"))
    assert isinstance(checked.refusal, FeatureNotInPlan)
    assert checked.refusal.feature == "single_sign_on"
    assert checked.balances.keys() == {"sessions"}


async def test_numbers_switches_and_usage_are_admitted_together_or_not_at_all(store: FakeStore) -> None:
    assert (await check(store, listed(max_file_size_mb="55", exports="1", sessions="3"))).refusal is None
    assert isinstance((await check(store, listed(max_file_size_mb="55", exports="1", sessions="4"))).refusal, LimitExceeded)


# What cannot be asked.


@pytest.mark.parametrize("quantity", ["0", "-1", "0.4", "NaN"])
async def test_less_than_a_part_is_no_question(store: FakeStore, quantity: str) -> None:
    with pytest.raises(InvalidQuantity):
        await check(store, listed(sessions=quantity))


async def test_only_a_customer_can_be_asked_about(store: FakeStore) -> None:
    with pytest.raises(CustomerNotFound):
        await CheckUsage(CountedAccountReader(store), lambda: NOW).execute("nobody", listed(sessions="1"))
