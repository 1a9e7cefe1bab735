"""Assessments are enforced, and counted once."""

from decimal import Decimal

import pytest

from core.learning.assessment import AssessmentConflict
from core.learning.take_assessment import TakeAssessmentCommand, TakenAssessment
from core.metering.balance import FeatureNotInPlan, LimitExceeded
from core.metering.ledger import Origin
from core.plans.plan import Metered, Plan
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import NOW, PERIOD
from tests.unit.fakes.learning import FakeLearningStore, Learner


async def test_an_assessment_is_stored_and_booked(lena: Learner) -> None:
    taken = await lena.takes("spring", score=Decimal("78.5"))
    assert (taken.balance.used, taken.balance.limit, taken.balance.remaining, taken.is_new) == (1, 2, 1, True)
    assert lena.store.assessments == {("lena", "spring"): taken.assessment}
    assert (taken.assessment.kind, taken.assessment.score, taken.assessment.taken_at) == ("speaking", Decimal("78.5"), NOW)
    (record,) = lena.store.ledger
    assert (record.feature, record.quantity, record.origin) == ("assessments", 1, Origin("learning", "app", "spring"))


async def test_one_too_many_is_refused_and_leaves_nothing_behind(lena: Learner) -> None:
    for _ in range(2):
        await lena.takes()
    with pytest.raises(LimitExceeded) as refusal:
        await lena.takes("third")
    facts = refusal.value.facts()
    assert (facts["feature"], facts["current_usage"], facts["limit"], facts["remaining"]) == ("assessments", 2, 2, 0)
    assert ("lena", "third") not in lena.store.assessments
    assert lena.used("assessments") == 2


async def test_the_same_one_again_counts_nothing_and_is_answered_though_none_is_left(lena: Learner) -> None:
    first = await lena.takes("spring", score=Decimal(8))
    await lena.takes("autumn")
    again = await lena.takes("spring", score=Decimal("8.0"))
    assert (again.assessment, again.is_new, again.balance.used) == (first.assessment, False, 2)
    assert lena.used("assessments") == 2


@pytest.mark.parametrize("other", [{"kind": "writing"}, {"score": Decimal(9)}, {"score": None}])
async def test_other_content_under_the_same_id_is_a_conflict(lena: Learner, other: dict[str, object]) -> None:
    await lena.takes("spring", score=Decimal(8))
    with pytest.raises(AssessmentConflict) as refusal:
        await lena.takes("spring", **({"score": Decimal(8)} | other))  # type: ignore[arg-type]
    assert refusal.value.facts() == {"assessment_id": "spring"}
    assert lena.used("assessments") == 1


async def test_assessments_and_practice_sessions_are_counted_apart_though_their_ids_are_alike(lena: Learner) -> None:
    await lena.takes("spring")
    await lena.saves("spring")
    assert (lena.used("assessments"), lena.used()) == (1, 1)


async def test_a_list_of_commands_takes_each_assessment_once_and_no_more_than_there_are(lena: Learner, tom: Learner) -> None:
    named = [("lena", "a"), ("lena", "a"), ("tom", "a"), ("lena", "b"), ("lena", "c"), ("lena", "c"), ("lena", "b")]
    outcomes = await lena.taking.execute(
        calls(
            *(TakeAssessmentCommand(customer_id=customer, kind="speaking", score=None, recorded_by="app", id=id) for customer, id in named)
        )
    )
    told = [outcome.is_new if isinstance(outcome, TakenAssessment) else type(outcome) for outcome in outcomes]
    assert told == [True, False, True, True, LimitExceeded, LimitExceeded, False]
    assert (lena.used("assessments"), tom.used("assessments")) == (2, 1)


async def test_a_plan_without_assessments_takes_none(store: FakeLearningStore) -> None:
    store.plans["fluency", 1] = Plan("fluency", 1, "Fluency", {"practice_sessions": Metered(3)})
    with pytest.raises(FeatureNotInPlan):
        await Learner(store).takes()


async def test_a_new_period_has_all_its_assessments(lena: Learner) -> None:
    for _ in range(2):
        await lena.takes()
    lena.now = PERIOD.end
    assert (await lena.takes()).balance.used == 1
