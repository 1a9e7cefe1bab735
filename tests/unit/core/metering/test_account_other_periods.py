"""What is booked into any period is measured against that period: against its usage, and the limit as it is now."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metering.account import USED_PARTS_MAX, Account
from core.metering.counters import PeriodNotLoaded
from core.metering.ledger import CorrectedRecord
from core.metering.meters import Meter
from core.plans.features import InvalidQuantity
from core.plans.periods import Period
from tests.unit.fakes.examples import BILLING, NOW, ORIGIN, PERIOD, PERIOD_BEFORE, journal_of, open_account, standing

MICROSECOND = timedelta(microseconds=1)
LATELY, LAST_MONTH = NOW - timedelta(days=1), PERIOD_BEFORE.end - MICROSECOND


@pytest.mark.parametrize(("used_before", "quantity", "overage"), [(0, 10, 0), (8, 2, 0), (8, 5, 3), (10, 5, 5), (12, 5, 5)])
def test_usage_of_the_last_period_is_overage_where_it_goes_above_the_limit_there(used_before: int, quantity: int, overage: int) -> None:
    account = open_account({"sessions": 1}, used_before={"sessions": used_before})
    record = account.record("sessions", quantity, ORIGIN, occurred_at=LAST_MONTH)
    assert (record.quantity, record.overage) == (quantity, overage)
    assert standing(account, "sessions") == (1, 0)


def test_what_the_current_period_has_used_makes_no_overage_in_another() -> None:
    account = open_account({"sessions": 10}, {"sessions": 5})
    assert account.record("sessions", 10, ORIGIN, occurred_at=LAST_MONTH).overage == 0
    assert account.record("sessions", 1, ORIGIN).overage == 1


def test_usage_of_one_period_is_seen_by_what_is_booked_into_it_next_and_by_no_other() -> None:
    account = open_account()
    overages = [account.record("sessions", 6, ORIGIN, occurred_at=at).overage for at in (LAST_MONTH, LATELY, LAST_MONTH, LATELY)]
    assert overages == [0, 0, 2, 2]
    assert account.rebook("sessions", 6, PERIOD_BEFORE.start - MICROSECOND, "reconcile", ORIGIN).overage == 0  # type: ignore[union-attr]


def test_usage_dated_ahead_is_measured_against_the_period_that_is_to_come() -> None:
    account = open_account({"sessions": 10}, used_before={"sessions": 9}, now=PERIOD.end - MICROSECOND)
    assert account.record("sessions", 3, ORIGIN, occurred_at=PERIOD.end).overage == 2


def test_features_have_periods_of_their_own() -> None:
    account = open_account(used_before={"minutes": 500 * 60})
    assert account.record("sessions", 1, ORIGIN, occurred_at=LAST_MONTH).overage == 0
    assert account.record("minutes", 1, ORIGIN, occurred_at=LAST_MONTH).overage == 1


def test_the_total_of_each_period_is_bounded_by_itself() -> None:
    account = open_account({"ai_runs": USED_PARTS_MAX}, used_before={"ai_runs": USED_PARTS_MAX - 1})
    account.record("ai_runs", 1, ORIGIN, occurred_at=LAST_MONTH)
    with pytest.raises(InvalidQuantity, match="too large"):
        account.record("ai_runs", 1, ORIGIN, occurred_at=LAST_MONTH)
    assert account.balance_at("ai_runs", LAST_MONTH).used == USED_PARTS_MAX


def test_what_is_undone_has_not_been_used_in_any_period() -> None:
    account = open_account()
    account.record("sessions", 9, ORIGIN, occurred_at=LAST_MONTH)
    mark = journal_of(account).mark()
    account.record("sessions", 9, ORIGIN, occurred_at=LAST_MONTH)
    journal_of(account).undo(mark)
    assert account.balance_at("sessions", LAST_MONTH).used == 9
    assert account.record("sessions", 2, ORIGIN, occurred_at=LAST_MONTH).overage == 1


def test_no_hold_takes_from_another_period() -> None:
    balance = open_account(held={"sessions": 5}).balance_at("sessions", LAST_MONTH)
    assert (balance.held, balance.limit, balance.period) == (0, 10, PERIOD_BEFORE)


def test_a_correction_of_another_period_takes_back_the_overage_that_it_undoes_there() -> None:
    account = open_account({"sessions": 3}, used_before={"sessions": 9})
    wrong = account.record("sessions", 3, ORIGIN, occurred_at=LAST_MONTH)
    assert account.correct(CorrectedRecord(wrong, 3), -3, "refund", ORIGIN).overage == -2
    assert account.balance_at("sessions", LAST_MONTH).used == 9
    assert standing(account, "sessions") == (3, 0)


def test_a_correction_does_not_take_another_periods_usage_below_zero() -> None:
    account = open_account({"sessions": 8}, used_before={"sessions": 2})
    wrong = open_account().record("sessions", 3, ORIGIN, occurred_at=LAST_MONTH)  # of which the period does not know
    with pytest.raises(InvalidQuantity, match="the period's usage"):
        account.correct(CorrectedRecord(wrong, 3), -3, "refund", ORIGIN)
    assert account.records == []


# What has not been read.


def test_a_decision_about_a_period_that_nobody_has_read_says_which_and_books_nothing() -> None:
    account = open_account({"sessions": 8}, used_before=None)
    with pytest.raises(PeriodNotLoaded) as missing:
        account.record("sessions", 1, ORIGIN, occurred_at=LAST_MONTH)
    assert (missing.value.meter, missing.value.at) == (Meter("acme", "sessions"), LAST_MONTH)
    assert account.records == []
    account.learn("sessions", PERIOD_BEFORE, 10)
    assert account.record("sessions", 1, ORIGIN, occurred_at=LAST_MONTH).overage == 1


def test_only_a_period_that_is_not_known_has_to_be_read() -> None:
    account = open_account(used_before=None)
    assert account.unknown_period("sessions", LAST_MONTH) == PERIOD_BEFORE
    account.learn("sessions", PERIOD_BEFORE, 10)
    assert account.unknown_period("sessions", LAST_MONTH) is None
    assert account.unknown_period("minutes", LAST_MONTH) == PERIOD_BEFORE
    assert account.unknown_period("sessions", LATELY) is None


@pytest.mark.parametrize("feature", ["exports", "max_file_size_mb", "single_sign_on", "unheard_of"])
def test_of_what_is_not_metered_there_is_no_period_to_read(feature: str) -> None:
    assert open_account(used_before=None).unknown_period(feature, LAST_MONTH) is None


INSTANTS = [LATELY, LAST_MONTH, PERIOD.start, NOW - timedelta(days=35), NOW, NOW + timedelta(minutes=5)]


@given(used=st.integers(0, 15), used_before=st.integers(0, 15), booked=st.lists(st.tuples(st.sampled_from(INSTANTS), st.integers(1, 6))))
def test_however_usage_is_dated_the_overages_of_each_period_add_up_to_what_it_has_above_the_limit(
    used: int, used_before: int, booked: Sequence[tuple[datetime, int]]
) -> None:
    account = open_account({"sessions": used}, used_before={"sessions": used_before})
    for at, quantity in booked:
        account.record("sessions", quantity, ORIGIN, occurred_at=at)
    for period, before in ((PERIOD, used), (PERIOD_BEFORE, used_before)):
        mine = [record for record in account.records if record.occurred_at in period]
        total = before + sum(record.quantity for record in mine)
        assert used_within(account, period) == total
        assert sum(record.overage for record in mine) == max(total - 10, 0) - max(before - 10, 0)


def used_within(account: Account, period: Period) -> int:
    assert BILLING.period(account.plan.entitlements["sessions"].reset, period.start) == period  # type: ignore[union-attr]
    return account.balance_at("sessions", period.start).used
