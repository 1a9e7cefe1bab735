"""A metered feature is declared once: its unit and its resolution never change."""

from typing import Self

import pytest

from core.plans.drafts import NAME_LENGTH_MAX
from core.plans.features import RESOLUTION_MAX, Feature
from core.plans.on_outage import OnOutage
from core.plans.plan import Boolean, FeatureConflict, Metered, Plan
from core.plans.publish_plan import DeclareFeature, FeatureInUse, InvalidFeature
from core.products import BUILT_IN_STATIC
from core.sessions.features import MINUTES
from tests.unit.fakes.plans import FakePlans, FakePlansUnitOfWork, PlanStore

SEATS = Feature("seats", "seat")


@pytest.fixture
def store() -> PlanStore:
    return PlanStore()


async def declare(store: PlanStore, feature: Feature, on_outage: OnOutage | None = None) -> tuple[Feature, bool]:
    return await DeclareFeature(store.unit_of_work, BUILT_IN_STATIC).execute(feature, on_outage)


async def test_a_new_feature_is_declared_as_it_is(store: PlanStore) -> None:
    assert await declare(store, SEATS) == (SEATS, True)
    assert store.declared == {"seats": SEATS}


async def test_declaring_it_again_changes_nothing(store: PlanStore) -> None:
    await declare(store, SEATS)
    assert await declare(store, SEATS) == (SEATS, False)
    assert store.declared == {"seats": SEATS}


@pytest.mark.parametrize("other", [Feature("seats", "chair"), Feature("seats", "seat", 2)])
async def test_another_unit_or_resolution_is_refused_and_the_declared_one_stays(store: PlanStore, other: Feature) -> None:
    await declare(store, SEATS)
    with pytest.raises(FeatureConflict) as refusal:
        await declare(store, other)
    assert refusal.value.facts() == {"feature": "seats", "unit": "seat", "resolution": 1}
    assert store.declared == {"seats": SEATS}


async def test_the_products_own_features_are_declared_already_and_never_change_either(store: PlanStore) -> None:
    assert await declare(store, MINUTES) == (MINUTES, False)
    with pytest.raises(FeatureConflict):
        await declare(store, Feature("minutes", "minute"))
    assert store.declared == {}


async def test_where_somebody_else_declares_another_one_meanwhile_theirs_stands(store: PlanStore) -> None:
    theirs = Feature("seats", "chair")

    class OvertakenPlans(FakePlans):
        async def declare(self, feature: Feature) -> Feature:
            store.declared["seats"] = theirs
            return await super().declare(feature)

    class OvertakenUnitOfWork(FakePlansUnitOfWork):
        async def __aenter__(self) -> Self:
            self.plans = OvertakenPlans(self.store)
            return self

    with pytest.raises(FeatureConflict) as refusal:
        await DeclareFeature(lambda: OvertakenUnitOfWork(store), BUILT_IN_STATIC).execute(SEATS)
    assert refusal.value.facts()["unit"] == "chair"
    assert store.declared == {"seats": theirs}


# What cannot be declared.


@pytest.mark.parametrize(
    "feature",
    [
        Feature("", "seat"),
        Feature("Seats", "seat"),
        Feature("s" * 65, "seat"),
        Feature("seats", ""),
        Feature("seats", "two\nlines"),
        Feature("seats", "s" * (NAME_LENGTH_MAX + 1)),
    ],
)
async def test_a_key_or_a_unit_that_cannot_be_written_is_refused(store: PlanStore, feature: Feature) -> None:
    with pytest.raises(InvalidFeature, match="A key of 1 to 64"):
        await declare(store, feature)
    assert store.declared == {}


@pytest.mark.parametrize("resolution", [1, 60, RESOLUTION_MAX])
async def test_a_unit_may_have_up_to_a_thousand_million_parts(store: PlanStore, resolution: int) -> None:
    assert (await declare(store, Feature("seats", "seat", resolution)))[1]


@pytest.mark.parametrize("resolution", [0, -1, RESOLUTION_MAX + 1])
async def test_a_unit_of_no_parts_or_too_many_is_refused(store: PlanStore, resolution: int) -> None:
    with pytest.raises(InvalidFeature, match="1 to 1,000,000,000"):
        await declare(store, Feature("seats", "seat", resolution))


async def test_a_number_that_a_product_asks_of_plans_cannot_be_metered(store: PlanStore) -> None:
    with pytest.raises(InvalidFeature, match="'max_file_size_mb' cannot be metered"):
        await declare(store, Feature("max_file_size_mb", "MB"))


async def test_a_key_that_a_plan_grants_as_a_switch_cannot_be_metered(store: PlanStore) -> None:
    store.plans["pro", 1] = Plan("pro", 1, "Pro", {"sessions": Metered(3), "exports": Boolean(True)})
    with pytest.raises(FeatureInUse) as refusal:
        await declare(store, Feature("exports", "export"))
    assert refusal.value.facts() == {"feature": "exports", "plan": "pro"}
    assert await declare(store, SEATS) == (SEATS, True)


async def test_a_key_that_only_an_older_version_granted_can_be_metered(store: PlanStore) -> None:
    store.plans["pro", 1] = Plan("pro", 1, "Pro", {"exports": Boolean(True)})
    store.plans["pro", 2] = Plan("pro", 2, "Pro", {"sessions": Metered(3)})
    assert (await declare(store, Feature("exports", "export")))[1]


async def test_what_is_done_on_an_outage_is_chosen_with_the_feature_and_may_be_chosen_anew(store: PlanStore) -> None:
    await declare(store, SEATS, OnOutage.ADMIT)
    assert store.on_outage == {"seats": OnOutage.ADMIT}
    assert await declare(store, SEATS, OnOutage.REFUSE) == (SEATS, False)
    assert store.on_outage == {"seats": OnOutage.REFUSE}


async def test_a_declaration_that_does_not_say_it_keeps_what_was_chosen(store: PlanStore) -> None:
    await declare(store, SEATS, OnOutage.ADMIT)
    await declare(store, SEATS)
    assert store.on_outage == {"seats": OnOutage.ADMIT}


async def test_it_may_be_chosen_for_the_products_own_features_too(store: PlanStore) -> None:
    await declare(store, MINUTES, OnOutage.ADMIT)
    assert store.on_outage == {"minutes": OnOutage.ADMIT}


async def test_a_conflicting_declaration_chooses_nothing(store: PlanStore) -> None:
    await declare(store, SEATS)
    with pytest.raises(FeatureConflict):
        await declare(store, Feature("seats", "chair"), OnOutage.ADMIT)
    assert store.on_outage == {}
