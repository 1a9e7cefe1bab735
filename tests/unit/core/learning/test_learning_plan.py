"""How far a learning plan has come, and how its sessions fill the weeks."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.learning_plan import TOTAL_SESSIONS_MAX, LearningPlan
from tests.unit.fakes.examples import NOW


def plan_of(total_sessions: int, sessions_per_week: int, practised_sessions: int = 0) -> LearningPlan:
    return LearningPlan("plan", "lena", "es", "B1", total_sessions, sessions_per_week, NOW, practised_sessions)


def weeks(plan: LearningPlan) -> list[tuple[int, int]]:
    """Each week's sessions, completed of total."""
    return [(week.sessions_completed, week.sessions_total) for week in plan.weekly_schedule]


plans = st.builds(plan_of, st.integers(1, TOTAL_SESSIONS_MAX), st.integers(1, TOTAL_SESSIONS_MAX), st.integers(0, TOTAL_SESSIONS_MAX + 5))


def test_a_plan_of_8_with_2_a_week_has_four_weeks() -> None:
    assert weeks(plan_of(8, 2)) == [(0, 2)] * 4
    assert [week.number for week in plan_of(8, 2).weekly_schedule] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("total", "per_week", "totals"), [(7, 2, [2, 2, 2, 1]), (3, 5, [3]), (5, 5, [5]), (6, 5, [5, 1]), (1, 1, [1]), (3, 1, [1, 1, 1])]
)
def test_what_does_not_divide_evenly_leaves_the_rest_to_the_last_week(total: int, per_week: int, totals: list[int]) -> None:
    assert [week.sessions_total for week in plan_of(total, per_week).weekly_schedule] == totals


def test_sessions_fill_the_weeks_in_order() -> None:
    assert [weeks(plan_of(5, 2, practised)) for practised in range(7)] == [
        [(0, 2), (0, 2), (0, 1)],
        [(1, 2), (0, 2), (0, 1)],
        [(2, 2), (0, 2), (0, 1)],
        [(2, 2), (1, 2), (0, 1)],
        [(2, 2), (2, 2), (0, 1)],
        [(2, 2), (2, 2), (1, 1)],
        [(2, 2), (2, 2), (1, 1)],
    ]


@given(plans)
def test_the_weeks_add_up_to_the_plan(plan: LearningPlan) -> None:
    schedule = plan.weekly_schedule
    assert sum(week.sessions_total for week in schedule) == plan.total_sessions
    assert sum(week.sessions_completed for week in schedule) == plan.completed_sessions
    assert {week.sessions_total for week in schedule[:-1]} <= {plan.sessions_per_week}
    assert 0 < schedule[-1].sessions_total <= plan.sessions_per_week
    assert [week.number for week in schedule] == list(range(1, len(schedule) + 1))


@given(plans)
def test_no_week_has_begun_before_the_one_ahead_of_it_is_complete(plan: LearningPlan) -> None:
    for week, following in zip(plan.weekly_schedule, plan.weekly_schedule[1:], strict=False):
        assert following.sessions_completed == 0 or week.sessions_completed == week.sessions_total


@pytest.mark.parametrize(
    ("practised", "total", "percentage"),
    [(0, 8, "0"), (1, 8, "12.5"), (4, 8, "50"), (8, 8, "100"), (1, 3, "33.3"), (2, 3, "66.6"), (999, 1000, "99.9")],
)
def test_progress_is_completed_of_total_rounded_down(practised: int, total: int, percentage: str) -> None:
    assert plan_of(total, 2, practised).progress_percentage == Decimal(percentage)


def test_practice_beyond_the_last_session_leaves_the_plan_complete() -> None:
    plan = plan_of(8, 2, practised_sessions=8)
    for _ in range(3):
        plan = plan.practised()
        assert (plan.completed_sessions, plan.progress_percentage) == (8, 100)


@given(plans)
def test_progress_is_100_where_the_plan_is_complete_and_only_there(plan: LearningPlan) -> None:
    assert 0 <= plan.progress_percentage <= 100
    assert (plan.progress_percentage == 100) == (plan.completed_sessions == plan.total_sessions)


@given(plans)
def test_one_more_practice_session_never_takes_progress_back(plan: LearningPlan) -> None:
    after = plan.practised()
    assert after.completed_sessions - plan.completed_sessions == (plan.completed_sessions < plan.total_sessions)
    assert after.progress_percentage >= plan.progress_percentage
