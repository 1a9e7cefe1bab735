"""Whatever gives units back, no record and no period falls below zero: what is left is given back, and the rest lapses."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metering.account import Account
from core.metering.ledger import CorrectedRecord, Origin, RecordKey, UsageRecord
from core.plans.features import InvalidQuantity
from core.plans.periods import Period
from tests.unit.fakes.examples import NOW, ORIGIN, PERIOD, PERIOD_BEFORE, corrected_of, journal_of, open_account, standing

LATELY, LAST_MONTH = NOW - timedelta(days=1), PERIOD_BEFORE.end - timedelta(days=1)
REFUND = Origin("correction", "key 2", "order 7")


def booked(account: Account, quantity: int, at: datetime = LATELY) -> CorrectedRecord:
    """As a repository would know it."""
    known = CorrectedRecord(account.record("sessions", quantity, ORIGIN, occurred_at=at), quantity)
    corrected_of(account).save(known)
    return known


def now_known(account: Account, known: CorrectedRecord) -> CorrectedRecord:
    found = corrected_of(account).get(RecordKey(known.record.customer_id, known.record.id))
    assert found is not None
    return found


@pytest.mark.parametrize("at", [LATELY, LAST_MONTH])
def test_what_is_given_back_is_a_correction_in_the_records_period_with_a_reason(at: datetime) -> None:
    account = open_account()
    known = booked(account, 5, at)
    assert account.give_back(known, 2, "failed", REFUND) == 2
    assert account.records[-1] == UsageRecord(
        UUID(int=2), "acme", "sessions", -2, at, NOW, REFUND, corrects=known.record.id, reason="failed"
    )
    assert account.balance_at("sessions", at).used == 3
    assert now_known(account, known) == CorrectedRecord(known.record, 3)


def test_what_is_given_back_takes_its_overage_and_dimension_along() -> None:
    account = open_account({"sessions": 9})
    known = CorrectedRecord(account.record("sessions", 3, ORIGIN, dimension="scan"), 3)
    account.give_back(known, 3, "failed", REFUND)
    assert (account.records[-1].overage, account.records[-1].dimension) == (-2, "scan")


def test_more_than_is_left_of_a_record_is_not_given_back() -> None:
    account = open_account({"sessions": 5})
    known = booked(account, 3)
    account.correct(known, -2, "refund", REFUND)
    assert account.give_back(now_known(account, known), 3, "failed", REFUND) == 1
    assert account.give_back(now_known(account, known), 3, "failed", REFUND) == 0
    assert [record.quantity for record in account.records] == [3, -2, -1]
    assert standing(account, "sessions") == (5, 0)


@pytest.mark.parametrize(("at", "used", "used_before"), [(LATELY, 2, 9), (LAST_MONTH, 9, 2)])
def test_more_than_its_period_has_used_is_not_given_back(at: datetime, used: int, used_before: int) -> None:
    known = booked(open_account(), 5, at)  # of which the period does not know
    account = open_account({"sessions": used}, used_before={"sessions": used_before})
    assert account.give_back(known, 5, "failed", REFUND) == 2
    assert account.balance_at("sessions", at).used == 0


def test_nothing_is_given_back_of_a_record_that_stands_below_zero() -> None:
    account = open_account({"sessions": 5})
    known = booked(account, 1)
    assert account.give_back(CorrectedRecord(known.record, -1), 1, "failed", REFUND) == 0
    assert len(account.records) == 1


def test_what_is_undone_can_be_given_back_once_more() -> None:
    account = open_account()
    known = booked(account, 3)
    mark = journal_of(account).mark()
    account.give_back(known, 3, "failed", REFUND)
    journal_of(account).undo(mark)
    assert account.give_back(now_known(account, known), 3, "failed", REFUND) == 3
    assert standing(account, "sessions") == (0, 0)


@pytest.mark.parametrize("at", [LATELY, LAST_MONTH])
def test_a_correction_is_known_to_the_next_one(at: datetime) -> None:
    account = open_account({"sessions": 9}, used_before={"sessions": 9})
    known = booked(account, 4, at)
    account.correct(known, -3, "refund", REFUND)
    with pytest.raises(InvalidQuantity, match="the record stands at 1 session"):
        account.correct(now_known(account, known), -2, "refund", REFUND)


@pytest.mark.parametrize(("at", "used", "used_before"), [(LATELY, 2, 9), (LAST_MONTH, 9, 2)])
def test_usage_that_is_taken_back_without_a_record_of_it_is_at_most_what_its_period_has(at: datetime, used: int, used_before: int) -> None:
    account = open_account({"sessions": used}, used_before={"sessions": used_before})
    taken = account.rebook("sessions", -5, at, "reconcile", REFUND)
    assert taken is not None
    assert (taken.quantity, account.balance_at("sessions", at).used) == (-2, 0)
    assert account.rebook("sessions", -1, at, "reconcile", REFUND) is None
    assert account.records == [taken]


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["record", "record", "correct", "give back", "rebook"]),
        st.sampled_from([NOW, LATELY, LAST_MONTH]),
        st.integers(-4, 4),
        st.integers(0, 5),
    ),
    max_size=30,
)


@given(MOVES)
def test_whatever_gives_units_back_no_period_and_no_record_falls_below_zero(moves: Sequence[tuple[str, datetime, int, int]]) -> None:
    account = open_account()
    known: list[CorrectedRecord] = []
    for way, at, quantity, age in moves:
        if way == "record":
            known.append(booked(account, abs(quantity) + 1, at))
        elif way == "rebook":
            account.rebook("sessions", quantity or 1, at, "reconcile", ORIGIN)
        elif known:
            one = now_known(account, known[-1 - age % len(known)])
            if way == "give back":
                given = account.give_back(one, abs(quantity), "failed", REFUND)
                assert 0 <= given <= abs(quantity)
            else:
                try:
                    account.correct(one, quantity or 1, "refund", REFUND)
                except InvalidQuantity:
                    assert now_known(account, one) == one
        agrees(account, known)


def agrees(account: Account, known: Iterable[CorrectedRecord]) -> None:
    for period in (PERIOD, PERIOD_BEFORE):
        assert account.balance_at("sessions", period.start).used == total(account.records, period) >= 0
    for item in known:
        corrections = sum(record.quantity for record in account.records if record.corrects == item.record.id)
        assert now_known(account, item).total == item.record.quantity + corrections >= 0


def total(records: Iterable[UsageRecord], period: Period) -> int:
    return sum(record.quantity for record in records if record.occurred_at in period)
