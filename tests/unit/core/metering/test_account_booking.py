"""What an account books, back-dates, corrects, sets aside and forgets. `test_account.py` has what it admits."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metering.account import BACKDATING_MAX, CLOCK_SKEW_MAX, Account
from core.metering.balance import LimitExceeded
from core.metering.ledger import CorrectedRecord, InvalidOccurredAt, Origin, UsageRecord
from core.plans.features import InvalidQuantity
from tests.unit.fakes.examples import NOW, ORIGIN, PERIOD, journal_of, open_account, reservation, reservations_of, standing

MICROSECOND = timedelta(microseconds=1)


# Rule 1: recording may not refuse.


def test_work_that_is_done_is_booked_though_the_limit_is_reached() -> None:
    account = open_account({"sessions": 10})
    record = account.record("sessions", 2, ORIGIN)
    assert (record.quantity, record.overage) == (2, 2)
    assert standing(account, "sessions") == (12, 0)
    assert account.records == [record]


@pytest.mark.parametrize(("used", "quantity", "overage"), [(0, 10, 0), (9, 1, 0), (9, 3, 2), (10, 3, 3), (15, 3, 3)])
def test_the_overage_is_the_part_of_the_usage_above_the_limit(used: int, quantity: int, overage: int) -> None:
    assert open_account({"sessions": used}).record("sessions", quantity, ORIGIN).overage == overage


@given(used=st.integers(0, 15), parts=st.lists(st.integers(1, 8), min_size=1))
def test_the_overage_is_the_same_in_one_record_as_in_many(used: int, parts: list[int]) -> None:
    at_once = open_account({"sessions": used}).record("sessions", sum(parts), ORIGIN)
    account = open_account({"sessions": used})
    assert sum(account.record("sessions", part, ORIGIN).overage for part in parts) == at_once.overage


def test_holds_do_not_turn_recorded_usage_into_overage() -> None:
    assert open_account({"sessions": 5}, {"sessions": 5}).record("sessions", 5, ORIGIN).overage == 0


def test_recorded_usage_of_a_feature_that_the_plan_lacks_is_all_overage() -> None:
    record = open_account().record("conversations", 2, ORIGIN)
    assert (record.quantity, record.overage) == (2, 2)


def test_recorded_usage_of_an_unlimited_feature_is_never_overage() -> None:
    assert open_account({"ai_runs": 10**15}).record("ai_runs", 10**15, ORIGIN).overage == 0


def test_after_overage_the_next_admission_is_refused() -> None:
    account = open_account({"sessions": 9})
    account.record("sessions", 3, ORIGIN)
    with pytest.raises(LimitExceeded) as refused:
        account.consume("sessions", 1, ORIGIN)
    assert (refused.value.facts()["current_usage"], refused.value.facts()["remaining"]) == (12, 0)


# Rule 7: recorded usage counts when it occurred, up to 35 days back and 5 minutes ahead.


def test_usage_without_a_time_occurred_now() -> None:
    record = open_account().record("sessions", 1, ORIGIN)
    assert (record.occurred_at, record.recorded_at) == (NOW, NOW)


@pytest.mark.parametrize("occurred_at", [NOW - timedelta(days=35), NOW - timedelta(days=1), NOW + timedelta(minutes=5)])
def test_usage_may_be_dated_35_days_back_and_5_minutes_ahead(occurred_at: datetime) -> None:
    record = open_account().record("sessions", 1, ORIGIN, occurred_at=occurred_at)
    assert (record.occurred_at, record.recorded_at) == (occurred_at, NOW)


@pytest.mark.parametrize("occurred_at", [NOW - timedelta(days=35) - MICROSECOND, NOW + timedelta(minutes=5) + MICROSECOND])
def test_usage_dated_further_back_or_ahead_is_refused_with_the_bounds(occurred_at: datetime) -> None:
    account = open_account()
    with pytest.raises(InvalidOccurredAt) as refused:
        account.record("sessions", 1, ORIGIN, occurred_at=occurred_at)
    bounds = {"earliest": NOW - BACKDATING_MAX, "latest": NOW + CLOCK_SKEW_MAX}
    assert refused.value.facts() == {"occurred_at": occurred_at, **bounds}
    assert account.records == []


@pytest.mark.parametrize(("occurred_at", "used"), [(PERIOD.start, 9), (PERIOD.start - MICROSECOND, 8)])
def test_usage_counts_in_the_period_in_which_it_occurred(occurred_at: datetime, used: int) -> None:
    account = open_account({"sessions": 8})
    record = account.record("sessions", 1, ORIGIN, occurred_at=occurred_at)
    assert standing(account, "sessions") == (used, 0)
    assert account.records == [record]


def test_usage_dated_ahead_into_the_next_period_does_not_count_in_this_one() -> None:
    account = open_account({"sessions": 10}, now=PERIOD.end - MICROSECOND)
    record = account.record("sessions", 1, ORIGIN, occurred_at=PERIOD.end)
    assert standing(account, "sessions") == (10, 0)
    assert record.overage == 0


def test_an_event_keeps_the_id_by_which_it_is_known_at_its_source() -> None:
    assert open_account().record("sessions", 1, ORIGIN, event_id="e-1").event_id == "e-1"


# Corrections are further entries.

CORRECTOR = Origin("test", "key 2")


def booked(account: Account, quantity: int, occurred_at: datetime = NOW - timedelta(days=1)) -> UsageRecord:
    return account.record("sessions", quantity, ORIGIN, occurred_at=occurred_at)


def test_a_correction_is_a_record_beside_the_wrong_one_in_its_period_with_a_reason() -> None:
    account = open_account()
    wrong = booked(account, 5)
    right = account.correct(CorrectedRecord(wrong, 5), -2, "refund", CORRECTOR)
    assert right == UsageRecord(
        UUID(int=2), "acme", "sessions", -2, wrong.occurred_at, NOW, CORRECTOR, overage=0, corrects=wrong.id, reason="refund"
    )
    assert account.records == [wrong, right]
    assert standing(account, "sessions") == (3, 0)


def test_a_correction_upwards_is_never_refused_for_a_limit() -> None:
    account = open_account()
    assert account.correct(CorrectedRecord(booked(account, 9), 9), 4, "miscounted", CORRECTOR).overage == 3


def test_a_correction_takes_back_the_overage_that_it_undoes() -> None:
    account = open_account({"sessions": 9})
    assert account.correct(CorrectedRecord(booked(account, 3), 3), -3, "refund", CORRECTOR).overage == -2
    assert account.balance("sessions").overage == 0


def test_a_record_can_be_corrected_to_nothing_but_not_below() -> None:
    account = open_account({"sessions": 5})
    wrong = booked(account, 4)
    with pytest.raises(InvalidQuantity, match="the record stands at 4 session"):
        account.correct(CorrectedRecord(wrong, 4), -5, "refund", CORRECTOR)
    account.correct(CorrectedRecord(wrong, 4), -4, "refund", CORRECTOR)
    with pytest.raises(InvalidQuantity, match="the record stands at 0 session"):
        account.correct(CorrectedRecord(wrong, 0), -1, "refund", CORRECTOR)
    assert standing(account, "sessions") == (5, 0)


def test_a_correction_may_take_the_periods_usage_to_nothing() -> None:
    account = open_account()
    account.correct(CorrectedRecord(booked(account, 4), 4), -4, "refund", CORRECTOR)
    assert standing(account, "sessions") == (0, 0)


def test_a_correction_does_not_take_the_periods_usage_below_zero() -> None:
    account = open_account()
    wrong = UsageRecord(UUID(int=7), "acme", "sessions", 4, NOW, NOW, ORIGIN)  # of which the counter does not know
    with pytest.raises(InvalidQuantity, match="the period's usage"):
        account.correct(CorrectedRecord(wrong, 4), -1, "refund", CORRECTOR)
    assert account.records == []


def test_a_correction_of_an_earlier_period_leaves_this_periods_usage_alone() -> None:
    account = open_account()
    wrong = booked(account, 4, PERIOD.start - MICROSECOND)
    right = account.correct(CorrectedRecord(wrong, 4), -4, "refund", CORRECTOR)
    assert right.occurred_at == wrong.occurred_at
    assert standing(account, "sessions") == (0, 0)


def test_a_correction_keeps_the_dimension_of_what_it_corrects() -> None:
    account = open_account()
    wrong = account.record("ai_runs", 2, ORIGIN, dimension="scan")
    assert account.correct(CorrectedRecord(wrong, 2), -1, "refund", CORRECTOR).dimension == "scan"


@pytest.mark.parametrize("quantity", [3, -3])
def test_what_the_ledger_lacks_is_booked_again_however_long_ago_it_occurred(quantity: int) -> None:
    account = open_account({"sessions": 5}, used_before={"sessions": 3})
    occurred_at = NOW - timedelta(days=400)
    record = account.rebook("sessions", quantity, occurred_at, "reconcile", CORRECTOR)
    assert (record.quantity, record.occurred_at, record.recorded_at, record.reason) == (quantity, occurred_at, NOW, "reconcile")
    assert standing(account, "sessions") == (5, 0)


# Reservations take from the limit until they are settled.


def test_a_reservation_sets_its_usage_aside_without_booking_it() -> None:
    account = open_account({"sessions": 2})
    held = reservation({"sessions": 3, "minutes": 60})
    account.reserve(held)
    assert (standing(account, "sessions"), standing(account, "minutes")) == ((2, 3), (0, 60))
    assert reservations_of(account) == [held]
    assert account.records == []


def test_a_reservation_that_does_not_fit_in_one_feature_holds_nothing_of_any() -> None:
    account = open_account({"minutes": 500 * 60})
    with pytest.raises(LimitExceeded) as refused:
        account.reserve(reservation({"sessions": 1, "minutes": 1}))
    assert refused.value.feature == "minutes"
    assert standing(account, "sessions") == (0, 0)
    assert reservations_of(account) == []


def test_holds_count_against_the_next_reservation_and_the_next_usage() -> None:
    account = open_account()
    account.reserve(reservation({"sessions": 10}))
    with pytest.raises(LimitExceeded):
        account.reserve(reservation({"sessions": 1}))
    with pytest.raises(LimitExceeded):
        account.consume("sessions", 1, ORIGIN)


@pytest.mark.parametrize("actual", [0, 2, 3, 9])
def test_a_commit_gives_the_hold_back_and_books_what_was_really_used(actual: int) -> None:
    account = open_account({"sessions": 4}, {"sessions": 5})
    before = reservation({"sessions": 3})
    account.settle(before, before.committed({"sessions": actual}, NOW))
    account.record("sessions", actual, ORIGIN)
    assert standing(account, "sessions") == (4 + actual, 2)
    assert account.balance("sessions").overage == max(4 + actual - 10, 0)


def test_a_release_gives_the_whole_hold_back_and_books_nothing() -> None:
    account = open_account({"sessions": 4}, {"sessions": 5})
    before = reservation({"sessions": 3})
    after = before.released(NOW)
    account.settle(before, after)
    assert standing(account, "sessions") == (4, 2)
    assert reservations_of(account) == [after]
    assert account.records == []


def test_work_that_draws_on_a_hold_gives_back_as_much_as_it_used() -> None:
    account = open_account(held={"minutes": 600})
    before = reservation({"minutes": 600})
    account.settle(before, before.drawn("minutes", 250))
    assert standing(account, "minutes") == (0, 350)


def test_an_expired_reservation_has_nothing_left_to_give_back() -> None:
    account = open_account(held={"sessions": 2})  # what others hold
    before = reservation({"sessions": 3}, expires_at=NOW)
    account.settle(before, before.committed({"sessions": 3}, NOW))
    assert standing(account, "sessions") == (0, 2)


# Undoing.


def test_undo_forgets_records_reservations_and_balances_since_the_mark_and_nothing_before() -> None:
    account = open_account()
    kept = account.consume("sessions", 1, ORIGIN)
    mark = journal_of(account).mark()
    account.consume("sessions", 2, ORIGIN)
    account.reserve(reservation({"sessions": 3, "minutes": 60}))
    journal_of(account).undo(mark)
    assert account.records == [kept]
    assert reservations_of(account) == []
    assert (standing(account, "sessions"), standing(account, "minutes")) == ((1, 0), (0, 0))


def test_what_is_booked_after_an_undo_stands() -> None:
    account = open_account()
    mark = journal_of(account).mark()
    account.consume("sessions", 2, ORIGIN)
    journal_of(account).undo(mark)
    account.consume("sessions", 3, ORIGIN)
    assert [record.quantity for record in account.records] == [3]
    assert standing(account, "sessions") == (3, 0)


def test_a_mark_can_be_returned_to_more_than_once() -> None:
    account = open_account()
    mark = journal_of(account).mark()
    for _ in range(2):
        account.consume("sessions", 2, ORIGIN)
        journal_of(account).undo(mark)
    assert standing(account, "sessions") == (0, 0)


def test_the_balances_that_were_looked_at_are_told_as_they_now_stand() -> None:
    account = open_account()
    account.consume("sessions", 2, ORIGIN)
    account.require("minutes", 1)
    assert {balance.feature.key: balance.used for balance in account.touched()} == {"sessions": 2, "minutes": 0}
    assert account.balances(["sessions"]) == {"sessions": account.balance("sessions")}
