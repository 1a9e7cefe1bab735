"""What an account admits (rules 1 to 3). `test_account_booking.py` has what it books and gives back."""

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DomainError
from core.metering.account import USED_PARTS_MAX, Account
from core.metering.balance import Amount, FeatureNotInPlan, FeatureNotMetered, LimitExceeded, Usage
from core.metering.entitlements import static_value
from core.metering.ledger import UsageRecord
from core.plans.features import InvalidQuantity
from tests.unit.fakes.examples import NOW, ORIGIN, PERIOD, PRO, open_account, reservation, standing

# Rule 2: used + held + requested <= limit.


@pytest.mark.parametrize(("used", "held", "quantity"), [(0, 0, 1), (9, 0, 1), (0, 9, 1), (4, 5, 1), (0, 0, 10)])
def test_usage_up_to_the_limit_is_admitted(used: int, held: int, quantity: int) -> None:
    account = open_account({"sessions": used}, {"sessions": held})
    account.consume("sessions", quantity, ORIGIN)
    assert standing(account, "sessions") == (used + quantity, held)


@pytest.mark.parametrize(("used", "held", "quantity"), [(10, 0, 1), (0, 10, 1), (5, 5, 1), (9, 0, 2), (0, 0, 11), (12, 0, 1)])
def test_usage_beyond_the_limit_is_refused_and_changes_nothing(used: int, held: int, quantity: int) -> None:
    account = open_account({"sessions": used}, {"sessions": held})
    with pytest.raises(LimitExceeded):
        account.consume("sessions", quantity, ORIGIN)
    assert standing(account, "sessions") == (used, held)
    assert account.records == []


@given(
    used=st.integers(0, 12), held=st.integers(0, 12), wanted=st.lists(st.tuples(st.sampled_from(["consume", "reserve"]), st.integers(1, 6)))
)
def test_whatever_is_consumed_and_reserved_never_exceeds_the_limit(used: int, held: int, wanted: list[tuple[str, int]]) -> None:
    account = open_account({"sessions": used}, {"sessions": held})
    for way, quantity in wanted:
        taken = sum(standing(account, "sessions"))
        try:
            if way == "consume":
                account.consume("sessions", quantity, ORIGIN)
            else:
                account.reserve(reservation({"sessions": quantity}))
        except LimitExceeded:
            assert taken + quantity > 10
            assert sum(standing(account, "sessions")) == taken
        else:
            assert taken + quantity <= 10
            assert sum(standing(account, "sessions")) == taken + quantity


def test_a_limit_of_zero_admits_nothing() -> None:
    with pytest.raises(LimitExceeded):
        open_account().consume("assessments", 1, ORIGIN)


def test_an_unlimited_feature_admits_everything_and_has_no_remaining() -> None:
    account = open_account({"ai_runs": 10**15}, {"ai_runs": 10**15})
    record = account.consume("ai_runs", 10**15, ORIGIN)
    assert record.overage == 0
    assert account.balance("ai_runs").remaining is None
    assert account.balance("ai_runs").overage == 0


def test_a_soft_limit_admits_what_exceeds_it_and_marks_that_as_overage() -> None:
    account = open_account({"ai_cost": 2_900_000_000})
    record = account.consume("ai_cost", 300_000_000, ORIGIN)
    assert record.overage == 200_000_000
    assert account.balance("ai_cost").remaining == 0


def test_remaining_is_what_neither_usage_nor_holds_take_and_never_negative() -> None:
    assert open_account({"sessions": 3}, {"sessions": 5}).balance("sessions").remaining == 2
    assert open_account({"sessions": 8}, {"sessions": 5}).balance("sessions").remaining == 0


def test_holds_are_no_overage() -> None:
    assert open_account({"sessions": 8}, {"sessions": 5}).balance("sessions").overage == 0
    assert open_account({"sessions": 13}, {"sessions": 5}).balance("sessions").overage == 3


def test_asking_whether_there_is_room_books_nothing() -> None:
    account = open_account({"sessions": 9})
    account.require("sessions", 1)
    with pytest.raises(LimitExceeded):
        account.require("sessions", 2)
    assert standing(account, "sessions") == (9, 0)


def test_require_remaining_is_content_with_the_smallest_part() -> None:
    open_account({"minutes": 500 * 60 - 1}).require_remaining("minutes")
    open_account({"ai_runs": 10**15}).require_remaining("ai_runs")
    open_account({"ai_cost": 4_000_000_000}).require_remaining("ai_cost")


@pytest.mark.parametrize(("used", "held"), [(500 * 60, 0), (500 * 60 + 1, 0), (499 * 60, 60)])
def test_require_remaining_refuses_where_nothing_is_left(used: int, held: int) -> None:
    with pytest.raises(LimitExceeded) as refused:
        open_account({"minutes": used}, {"minutes": held}).require_remaining("minutes")
    assert refused.value.facts()["requested"] == 0


def test_a_refusal_tells_in_units_what_bound_and_when_it_resets() -> None:
    with pytest.raises(LimitExceeded) as refused:
        open_account({"minutes": 450 * 60 + 30}, {"minutes": 20 * 60}).consume("minutes", 30 * 60, ORIGIN)
    assert refused.value.facts() == {
        "plan": "pro",
        "feature": "minutes",
        "current_usage": Decimal("450.5"),
        "held": 20,
        "requested": 30,
        "limit": 500,
        "remaining": Decimal("29.5"),
        "allowance": 500,
        "granted": 0,
        "resets_at": PERIOD.end,
    }
    assert str(refused.value) == "Usage limit exceeded: 500 minutes (used 450.5, set aside 20)."


def test_a_refusal_where_nothing_is_held_names_the_limit_alone() -> None:
    with pytest.raises(LimitExceeded, match=r"^Usage limit exceeded: 500 minutes\.$"):
        open_account({"minutes": 450 * 60 + 30}).consume("minutes", 50 * 60, ORIGIN)


def test_a_record_says_who_used_what_when_and_on_whose_word() -> None:
    record = open_account().consume("sessions", 2, ORIGIN)
    assert record == UsageRecord(UUID(int=1), "acme", "sessions", 2, NOW, NOW, ORIGIN)


# What the plan does not meter.


def test_a_declared_feature_that_the_plan_lacks_is_refused() -> None:
    with pytest.raises(FeatureNotInPlan) as refused:
        open_account().consume("conversations", 1, ORIGIN)
    assert refused.value.facts() == {"plan": "pro", "feature": "conversations"}
    assert str(refused.value) == "Plan 'pro' does not include 'conversations'."


@pytest.mark.parametrize("book", [Account.consume, Account.record])
def test_an_undeclared_feature_is_refused_and_the_refusal_says_so(book: Callable[..., UsageRecord]) -> None:
    with pytest.raises(FeatureNotInPlan, match="'seats' is not a declared feature") as refused:
        book(open_account(), "seats", 1, ORIGIN)
    assert not refused.value.declared


@pytest.mark.parametrize(
    ("feature", "error"), [("exports", FeatureNotMetered), ("max_file_size_mb", FeatureNotMetered), ("single_sign_on", FeatureNotInPlan)]
)
@pytest.mark.parametrize("book", [Account.consume, Account.record])
def test_a_switch_and_a_number_cannot_be_used_up(book: Callable[..., UsageRecord], feature: str, error: type[DomainError]) -> None:
    account = open_account()
    with pytest.raises(error):
        book(account, feature, 1, ORIGIN)
    assert account.records == []


def test_a_static_entitlement_grants_its_number() -> None:
    assert static_value(PRO, "max_file_size_mb") == 60


@pytest.mark.parametrize("feature", ["sessions", "exports", "seats"])
def test_what_is_no_static_entitlement_grants_no_number(feature: str) -> None:
    with pytest.raises(FeatureNotInPlan):
        static_value(PRO, feature)


def test_amounts_are_read_in_the_units_of_their_features() -> None:
    amounts = [Amount("minutes", Decimal("0.5")), Amount("ai_cost", Decimal("0.02"), dimension="scan")]
    assert open_account().usage(amounts) == [Usage("minutes", 30), Usage("ai_cost", 20_000_000, dimension="scan")]


def test_an_amount_of_less_than_a_part_is_no_usage() -> None:
    with pytest.raises(InvalidQuantity):
        open_account().usage([Amount("sessions", Decimal("0.4"))])


def test_an_account_knows_the_features_whose_usage_is_counted_and_no_others() -> None:
    account = open_account()
    assert [account.knows(feature) for feature in ("sessions", "conversations", "seats", "exports")] == [True, True, False, False]


# Rule 3: all or nothing.


def test_several_features_are_booked_together() -> None:
    account = open_account()
    records = account.consume_all([Usage("sessions", 1), Usage("minutes", 60, "live")], ORIGIN)
    assert [(record.feature, record.quantity, record.dimension) for record in records] == [("sessions", 1, None), ("minutes", 60, "live")]
    assert account.records == records
    assert (standing(account, "sessions"), standing(account, "minutes")) == ((1, 0), (60, 0))


@pytest.mark.parametrize(
    ("usage", "binding"),
    [
        ([Usage("sessions", 1), Usage("minutes", 500 * 60 + 1)], "minutes"),
        ([Usage("minutes", 60), Usage("sessions", 11)], "sessions"),
        ([Usage("ai_runs", 1), Usage("assessments", 1), Usage("sessions", 1)], "assessments"),
        ([Usage("sessions", 6), Usage("minutes", 60), Usage("sessions", 5)], "sessions"),
    ],
)
def test_where_one_feature_does_not_fit_none_is_booked_and_the_refusal_names_it(usage: list[Usage], binding: str) -> None:
    account = open_account()
    with pytest.raises(LimitExceeded) as refused:
        account.consume_all(usage, ORIGIN)
    assert refused.value.feature == binding
    assert account.records == []
    assert all(standing(account, item.feature) == (0, 0) for item in usage)


def test_a_feature_that_is_named_twice_is_held_to_its_limit_in_sum() -> None:
    account = open_account()
    with pytest.raises(LimitExceeded) as refused:
        account.consume_all([Usage("sessions", 6), Usage("sessions", 5)], ORIGIN)
    assert refused.value.requested == 11
    assert len(account.consume_all([Usage("sessions", 6), Usage("sessions", 4)], ORIGIN)) == 2
    assert standing(account, "sessions") == (10, 0)


def test_where_the_plan_lacks_one_feature_none_is_booked() -> None:
    account = open_account()
    with pytest.raises(FeatureNotInPlan):
        account.consume_all([Usage("sessions", 1), Usage("conversations", 1)], ORIGIN)
    assert account.records == []


def test_a_total_that_the_counter_could_not_hold_is_refused() -> None:
    account = open_account({"ai_runs": USED_PARTS_MAX - 1})
    account.consume("ai_runs", 1, ORIGIN)
    with pytest.raises(InvalidQuantity):
        account.consume("ai_runs", 1, ORIGIN)


def test_what_is_held_counts_towards_the_total_that_the_counter_can_hold() -> None:
    account = open_account({"ai_runs": USED_PARTS_MAX - 2}, {"ai_runs": 1})
    account.require("ai_runs", 1)
    with pytest.raises(InvalidQuantity):
        account.require("ai_runs", 2)


def test_nothing_can_be_asked_for_whatever_the_total() -> None:
    open_account({"ai_runs": USED_PARTS_MAX}, {"ai_runs": 1}).require("ai_runs", 0)


def test_a_total_that_the_counter_could_not_hold_leaves_the_other_features_unbooked() -> None:
    account = open_account({"ai_runs": USED_PARTS_MAX})
    with pytest.raises(InvalidQuantity):
        account.consume_all([Usage("sessions", 1), Usage("ai_runs", 1)], ORIGIN)
    assert account.records == []
