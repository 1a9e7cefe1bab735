"""What the engine does with options, without knowing any product's."""

from decimal import Decimal

import pytest

from core.conversations.window import Window
from core.plans.drafts import MeteredDraft, Mistake, PlanDraft
from core.plans.features import Feature, FeatureCatalog
from core.plans.options import Choice, Switch, WholeNumber
from core.plans.plan import Metered
from tests.unit.fakes.retention import Retention, Where

CATALOG = FeatureCatalog([Feature("storage", "GB"), Feature("seats", "seat")])
DAYS = WholeNumber("days", 30, smallest=1, largest=90, meaning="how long")
DAYS_OR_NULL = WholeNumber("days", None, smallest=1, largest=90, meaning="how long", nullable=True)


def draft(feature: str, *options: Retention) -> PlanDraft:
    return PlanDraft("pro", "Pro", {feature: MeteredDraft(Decimal(5), options=options)})


def test_options_are_published_as_they_are() -> None:
    assert draft("storage", Retention(90)).resolve(CATALOG) == {"storage": Metered(5, options=(Retention(90),))}


def test_an_option_is_found_by_its_kind() -> None:
    entitlement = Metered(5, options=(Window(messages_max=1), Retention(7)))
    assert entitlement.option(Retention) == Retention(7)
    assert entitlement.option(Window) == Window(messages_max=1)
    assert Metered(5, options=(Window(),)).option(Retention) is None


def test_plans_with_different_options_have_different_content() -> None:
    assert Metered(5, options=(Retention(7),)) != Metered(5, options=(Retention(8),)) != Metered(5)


def test_an_option_of_another_feature_is_refused_with_the_reason() -> None:
    expected = "expected no retention here: only storage and backups are kept"
    assert draft("seats", Retention()).mistakes(CATALOG) == [Mistake(("entitlements", "seats", "retention"), expected)]


@pytest.mark.parametrize("days", [0, 91])
def test_a_part_out_of_bounds_is_refused_where_it_is(days: int) -> None:
    location = ("entitlements", "storage", "retention", "days")
    assert draft("storage", Retention(days)).mistakes(CATALOG) == [Mistake(location, f"expected a whole number from 1 to 90, got {days}")]


def test_a_part_that_is_not_stored_has_its_default() -> None:
    assert Retention.from_json({"days": 7}) == Retention(7, Where.WARM)
    assert Retention.from_json({"where": "cold"}) == Retention(30, Where.COLD)


def test_a_whole_number_takes_what_is_within_its_bounds() -> None:
    assert [value for value in (0, 1, 90, 91, None, "7", 7.5) if DAYS.takes(value)] == [1, 90]
    assert [value for value in (0, 1, 90, 91, None) if DAYS_OR_NULL.takes(value)] == [1, 90, None]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (DAYS, "a whole number from 1 to 90"),
        (DAYS_OR_NULL, "a whole number from 1 to 90, or null"),
        (Switch("kept", default=True, meaning="whether"), "true or false"),
        (Choice("where", Where.WARM, meaning="on what"), "one of warm, cold"),
    ],
)
def test_each_part_says_what_belongs_there(part: WholeNumber | Switch | Choice, expected: str) -> None:
    assert part.expected == expected
