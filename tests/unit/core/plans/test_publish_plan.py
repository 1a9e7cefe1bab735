"""A plan is published as a new version where its content changed, and a published version never changes."""

from dataclasses import replace
from decimal import Decimal
from typing import Self

import pytest

from core.plans.drafts import MeteredDraft, PlanDraft
from core.plans.features import Feature
from core.plans.plan import Boolean, InvalidPlan, Metered, Plan, PlanVersionConflict
from core.plans.publish_plan import Published, PublishPlan
from tests.unit.fakes.plans import FakePlans, FakePlansUnitOfWork, PlanStore

PRO = Plan("pro", 1, "Pro", {"sessions": Metered(10), "exports": Boolean(True)})


@pytest.fixture
def store() -> PlanStore:
    return PlanStore()


def draft(limit: int = 10, name: str = "Pro", key: str = "pro", feature: str = "sessions") -> PlanDraft:
    return PlanDraft(key, name, {feature: MeteredDraft(Decimal(limit)), "exports": Boolean(True)})


async def publish(store: PlanStore, plan: PlanDraft) -> Published:
    return await PublishPlan(store.unit_of_work).execute(plan)


async def test_a_first_publication_is_version_1(store: PlanStore) -> None:
    assert await publish(store, draft()) == Published(PRO, is_new=True)
    assert store.plans == {("pro", 1): PRO}


async def test_the_same_content_again_is_no_new_version(store: PlanStore) -> None:
    await publish(store, draft())
    assert await publish(store, draft()) == Published(PRO, is_new=False)
    assert store.plans == {("pro", 1): PRO}


@pytest.mark.parametrize("other", [draft(11), draft(name="Professional"), PlanDraft("pro", "Pro", {"sessions": MeteredDraft(Decimal(10))})])
async def test_other_content_is_the_next_version_and_the_last_one_stays(store: PlanStore, other: PlanDraft) -> None:
    await publish(store, draft())
    published = await publish(store, other)
    assert (published.plan.version, published.plan.name, published.is_new) == (2, other.name, True)
    assert store.plans == {("pro", 1): PRO, ("pro", 2): published.plan}


async def test_content_that_an_older_version_had_is_a_new_version(store: PlanStore) -> None:
    for limit in (10, 11):
        await publish(store, draft(limit))
    assert await publish(store, draft(10)) == Published(replace(PRO, version=3), is_new=True)


async def test_plans_have_versions_of_their_own(store: PlanStore) -> None:
    await publish(store, draft())
    assert (await publish(store, draft(key="starter"))).plan.version == 1


async def test_declared_features_can_be_limited_and_others_cannot(store: PlanStore) -> None:
    with pytest.raises(InvalidPlan) as refusal:
        await publish(store, draft(feature="seats"))
    assert (refusal.value.path, store.plans) == ("entitlements.seats", {})
    store.declared["seats"] = Feature("seats", "seat")
    assert (await publish(store, draft(feature="seats"))).plan.entitlements["seats"] == Metered(10)


# Two publishers at once.


def overtaken_by(store: PlanStore, theirs: Plan) -> PublishPlan:
    """Somebody else's version is committed between our look and our publication."""

    class OvertakenPlans(FakePlans):
        async def publish(self, plan: Plan) -> None:
            store.plans[theirs.key, theirs.version] = theirs
            await super().publish(plan)

    class OvertakenUnitOfWork(FakePlansUnitOfWork):
        async def __aenter__(self) -> Self:
            self.plans = OvertakenPlans(self.store)
            return self

    return PublishPlan(lambda: OvertakenUnitOfWork(store))


async def test_where_somebody_else_published_the_same_it_is_theirs(store: PlanStore) -> None:
    theirs = replace(PRO, name="Pro")
    assert await overtaken_by(store, theirs).execute(draft()) == Published(theirs, is_new=False)
    assert store.plans == {("pro", 1): theirs}


@pytest.mark.parametrize("theirs", [replace(PRO, name="Professional"), replace(PRO, entitlements={"sessions": Metered(99)})])
async def test_where_somebody_else_published_something_different_nobody_overwrites_it(store: PlanStore, theirs: Plan) -> None:
    with pytest.raises(PlanVersionConflict) as refusal:
        await overtaken_by(store, theirs).execute(draft())
    assert refusal.value.facts() == {"plan": "pro", "plan_version": 1}
    assert store.plans == {("pro", 1): theirs}


async def test_a_version_that_is_gone_when_it_is_looked_for_is_still_a_conflict(store: PlanStore) -> None:
    class RefusingPlans(FakePlans):
        async def publish(self, plan: Plan) -> None:
            raise PlanVersionConflict(plan.key, plan.version)

    class RefusingUnitOfWork(FakePlansUnitOfWork):
        async def __aenter__(self) -> Self:
            self.plans = RefusingPlans(self.store)
            return self

    with pytest.raises(PlanVersionConflict):
        await PublishPlan(lambda: RefusingUnitOfWork(store)).execute(draft())
