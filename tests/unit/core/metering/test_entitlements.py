"""What a plan says of a feature: its limit, its number, or that it has neither."""

import pytest

from core.errors import DomainError
from core.metering.balance import FeatureNotInPlan, FeatureNotMetered
from core.metering.entitlements import NOT_IN_PLAN, metered_entitlement, static_value
from core.plans.plan import Enforcement, Metered
from tests.unit.fakes.examples import PRO


def test_a_metered_feature_has_the_plans_limit() -> None:
    assert metered_entitlement(PRO, "sessions") == Metered(10)
    assert metered_entitlement(PRO, "ai_cost").enforcement is Enforcement.SOFT


@pytest.mark.parametrize("feature", ["conversations", "unheard_of"])
def test_a_feature_that_the_plan_does_not_name_is_counted_against_a_hard_limit_of_zero(feature: str) -> None:
    assert metered_entitlement(PRO, feature) == NOT_IN_PLAN == Metered(0)


@pytest.mark.parametrize(
    ("feature", "error"), [("exports", FeatureNotMetered), ("max_file_size_mb", FeatureNotMetered), ("single_sign_on", FeatureNotInPlan)]
)
def test_a_number_or_a_switch_is_not_metered_and_one_that_is_off_is_not_there(feature: str, error: type[DomainError]) -> None:
    with pytest.raises(error) as refusal:
        metered_entitlement(PRO, feature)
    assert refusal.value.facts() == {"plan": "pro", "feature": feature}


def test_a_static_feature_grants_its_number() -> None:
    assert static_value(PRO, "max_file_size_mb") == 60


@pytest.mark.parametrize("feature", ["sessions", "exports", "unheard_of"])
def test_what_is_not_static_grants_no_number(feature: str) -> None:
    with pytest.raises(FeatureNotInPlan) as refusal:
        static_value(PRO, feature)
    assert refusal.value.facts() == {"plan": "pro", "feature": feature}
