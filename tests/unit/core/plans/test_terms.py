"""What was agreed with a customer: the terms of any instant follow from the changes alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from core.plans.agreement import Addon, Agreement, Override, ScheduledPlan, plan_at, plan_with
from core.plans.periods import Billing, Interval, Reset
from core.plans.plan import Boolean, Enforcement, Metered, Plan, Static
from core.plans.terms import Terms, TermsChange, TermsHistory

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
MONTHLY = Billing(START, Interval.MONTH, ZoneInfo("UTC"))
YEARLY = MONTHLY._replace(interval=Interval.YEAR)
FREE, PRO = ("free", 1), ("pro", 3)


def change(day: int, number: int = 0, *, recorded: int | None = None, **what: object) -> TermsChange:
    at = START + day * DAY
    known = START + (day if recorded is None else recorded) * DAY
    return TermsChange(id=UUID(int=number), customer_id="acme", effective_at=at, recorded_at=known, recorded_by="key", **what)  # type: ignore[arg-type]


CREATED = change(0, plan=FREE, billing=MONTHLY)


def test_each_change_says_what_is_in_force_until_the_next_and_nothing_before_the_first() -> None:
    history = TermsHistory.of([change(10, 1, plan=PRO), CREATED, change(20, 2, billing=YEARLY)])
    assert history.at(START - timedelta(microseconds=1)) is None
    assert history.at(START) == Terms(FREE, MONTHLY)
    assert history.at(START + 10 * DAY - timedelta(microseconds=1)) == Terms(FREE, MONTHLY)
    assert history.at(START + 10 * DAY) == Terms(PRO, MONTHLY)
    assert history.at(START + 400 * DAY) == Terms(PRO, YEARLY)


def test_a_change_that_is_scheduled_leaves_what_was_agreed_meanwhile() -> None:
    scheduled = change(30, 1, recorded=5, plan=FREE)
    history = TermsHistory.of([change(0, plan=PRO, billing=MONTHLY), scheduled, change(10, 2, billing=YEARLY)])
    assert history.at(START + 29 * DAY) == Terms(PRO, YEARLY)
    assert history.at(START + 30 * DAY) == Terms(FREE, YEARLY)


def test_a_change_that_was_called_off_counts_only_for_who_did_not_know_it_yet() -> None:
    called_off = replace(change(30, 1, recorded=5, plan=PRO), withdrawn_at=START + 8 * DAY, withdrawn_by="key")
    later = START + 40 * DAY
    for known_day, plan in ((4, FREE), (5, PRO), (7, PRO), (8, FREE)):
        terms = TermsHistory.of([CREATED, called_off], known_at=START + known_day * DAY).at(later)
        assert terms is not None
        assert terms.plan == plan, known_day
    assert TermsHistory.of([CREATED, called_off]).at(later) == Terms(FREE, MONTHLY)


def test_an_override_ends_at_its_time_and_comes_back_for_nobody() -> None:
    override = Override("sessions", 50, until=START + 20 * DAY)
    history = TermsHistory.of([CREATED, change(10, 1, override=override)])
    inside, after = history.at(START + 20 * DAY - timedelta(microseconds=1)), history.at(START + 20 * DAY)
    assert inside is not None
    assert after is not None
    assert (inside.agreement.overrides, after.agreement.overrides) == ((override,), ())
    assert history.turns(START, START + 30 * DAY) == [START + 10 * DAY, START + 20 * DAY]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=5))
def test_the_order_in_which_changes_are_read_does_not_matter(moves: list[tuple[int, int]]) -> None:
    makes = [
        {"plan": FREE},
        {"plan": PRO},
        {"override": Override("sessions", 7)},
        {"addon": Addon(("seats", 1), 2)},
        {"addon": Addon(("seats", 1), 0)},
    ]
    changes = [CREATED, *(change(day, number, **makes[kind]) for number, (day, kind) in enumerate(moves, start=1))]
    expected = [TermsHistory.of(changes).at(START + day * DAY) for day in range(7)]
    for order in list(permutations(changes))[:30]:
        assert [TermsHistory.of(order).at(START + day * DAY) for day in range(7)] == expected


# What applies.

PLAN = Plan(
    "pro",
    3,
    "Pro",
    {"sessions": Metered(100, Reset.MONTH), "calls": Metered(None), "size": Static(Decimal(60)), "exports": Boolean(enabled=False)},
)
SEATS = Plan(
    "seats",
    1,
    "Seats",
    {
        "sessions": Metered(10, Reset.DAY),
        "calls": Metered(5),
        "size": Static(Decimal(2)),
        "exports": Boolean(enabled=True),
        "more": Metered(3),
    },
)


def test_an_override_stands_in_place_of_the_plans_limit_and_keeps_the_rest() -> None:
    applied = plan_with(PLAN, [Override("sessions", 5)], [])
    assert applied.entitlements["sessions"] == Metered(5, Reset.MONTH)
    soft = plan_with(PLAN, [Override("sessions", None, Enforcement.SOFT)], [])
    assert soft.entitlements["sessions"] == Metered(None, Reset.MONTH, Enforcement.SOFT)
    assert plan_with(PLAN, [Override("unknown", 4)], []).entitlements["unknown"] == Metered(4)
    assert {**applied.entitlements, "sessions": None} == {**PLAN.entitlements, "sessions": None}


def test_an_addon_counts_so_many_times_on_top_and_on_top_of_an_override_too() -> None:
    applied = plan_with(PLAN, [Override("sessions", 5)], [(SEATS, 2)]).entitlements
    assert applied["sessions"] == Metered(5 + 2 * 10, Reset.MONTH)
    assert applied["calls"] == Metered(None)
    assert applied["size"] == Static(Decimal(64))
    assert applied["exports"] == Boolean(enabled=True)
    assert applied["more"] == Metered(6)


def test_an_unlimited_addon_makes_the_limit_unlimited() -> None:
    unlimited = Plan("all", 1, "All", {"sessions": Metered(None)})
    assert plan_with(PLAN, [], [(unlimited, 1)]).entitlements["sessions"] == Metered(None, Reset.MONTH)


def test_an_addon_of_another_type_leaves_what_the_plan_says() -> None:
    odd = Plan("odd", 1, "Odd", {"sessions": Static(Decimal(9)), "size": Boolean(enabled=True)})
    assert plan_with(PLAN, [], [(odd, 3)]).entitlements == PLAN.entitlements


def test_the_agreement_of_an_instant_has_neither_what_is_due_nor_what_has_ended() -> None:
    at = START + DAY
    agreement = Agreement(ScheduledPlan(UUID(int=1), FREE, at), (Override("sessions", 1, until=at),), (Addon(("seats", 1), 1),))
    before = at - timedelta(microseconds=1)
    assert (agreement.due(before), agreement.due(at)) == (None, FREE)
    assert agreement.at(before) == agreement
    assert agreement.at(at) == Agreement(addons=(Addon(("seats", 1), 1),))
    assert bool(Agreement()) is False
    assert plan_at(("pro", 3), Agreement(), {("pro", 3): PLAN}) is PLAN
