from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.conversations.window import Window
from core.operations.features import AI_COST
from core.plans.drafts import EntitlementDraft, MeteredDraft, Mistake, PlanDraft, did_you_mean, is_key
from core.plans.features import Feature, FeatureCatalog, without_noise
from core.plans.periods import Reset
from core.plans.plan import Boolean, Enforcement, InvalidPlan, Metered, Static
from core.products import BUILT_IN

CATALOG = FeatureCatalog([*BUILT_IN, Feature("api_calls", "call")])


def draft(entitlements: Mapping[str, EntitlementDraft], key: str = "pro", name: str = "Pro") -> PlanDraft:
    return PlanDraft(key, name, entitlements)


def metered(limit: str) -> MeteredDraft:
    return MeteredDraft(Decimal(limit))


def test_limits_are_published_in_smallest_parts() -> None:
    plan = draft({"minutes": metered("500"), "ai_cost": metered("0.50"), "sessions": metered("100.0"), "api_calls": metered("1e3")})

    assert plan.resolve(CATALOG) == {
        "minutes": Metered(30_000),
        "ai_cost": Metered(500_000_000),
        "sessions": Metered(100),
        "api_calls": Metered(1000),
    }


def test_a_limit_of_null_is_unlimited_and_a_limit_of_zero_is_none() -> None:
    assert draft({"sessions": MeteredDraft(None), "minutes": metered("0")}).resolve(CATALOG) == {
        "sessions": Metered(None),
        "minutes": Metered(0),
    }


def test_reset_and_enforcement_are_kept() -> None:
    plan = draft({"sessions": MeteredDraft(Decimal(1), Reset.WEEK, Enforcement.SOFT)})

    assert plan.resolve(CATALOG) == {"sessions": Metered(1, Reset.WEEK, Enforcement.SOFT)}


def test_conversations_keep_their_window() -> None:
    window = Window(timedelta(days=31), extending=False, messages_max=1_000_000)

    assert draft({"conversations": MeteredDraft(Decimal(1), options=(window,))}).resolve(CATALOG) == {
        "conversations": Metered(1, options=(window,))
    }


@pytest.mark.parametrize(
    ("feature", "window", "path"),
    [
        ("sessions", Window(), "entitlements.sessions.window"),
        ("conversations", Window(timedelta(0)), "entitlements.conversations.window.length_seconds"),
        ("conversations", Window(timedelta(days=31, seconds=1)), "entitlements.conversations.window.length_seconds"),
        ("conversations", Window(messages_max=0), "entitlements.conversations.window.messages_max"),
        ("conversations", Window(messages_max=1_000_001), "entitlements.conversations.window.messages_max"),
    ],
)
def test_a_window_out_of_bounds_or_out_of_place_is_refused(feature: str, window: Window, path: str) -> None:
    with pytest.raises(InvalidPlan) as refusal:
        draft({feature: MeteredDraft(Decimal(1), options=(window,))}).resolve(CATALOG)

    assert refusal.value.path == path


def test_static_and_boolean_entitlements_need_no_declaration_and_are_published_as_they_are() -> None:
    entitlements: dict[str, EntitlementDraft] = {"max_file_size_mb": Static(Decimal("2.5")), "exports": Boolean(enabled=True)}

    assert draft(entitlements).resolve(CATALOG) == entitlements


def test_a_limit_that_is_shown_rounded_can_be_published_again() -> None:
    shown = Feature("minutes", "minute", 60).units(20)

    assert draft({"minutes": MeteredDraft(shown)}).resolve(CATALOG) == {"minutes": Metered(20)}


def test_numbers_lose_the_tails_of_doubles() -> None:
    tail = Decimal("0.30000000000000004")

    resolved = draft({"ai_cost": MeteredDraft(tail), "size": Static(tail)}).resolve(CATALOG)

    assert resolved == {"ai_cost": Metered(300_000_000), "size": Static(Decimal("0.3"))}


@pytest.mark.parametrize(
    ("entitlements", "path", "expected"),
    [
        ({"sessions": metered("-1")}, "entitlements.sessions.limit", "expected a number of at least 0 or null, got -1"),
        ({"sessions": metered("NaN")}, "entitlements.sessions.limit", "expected a number of at least 0 or null, got NaN"),
        ({"sessions": metered("sNaN")}, "entitlements.sessions.limit", "expected a number of at least 0 or null, got sNaN"),
        ({"sessions": metered("Infinity")}, "entitlements.sessions.limit", "expected a number of at least 0 or null, got Infinity"),
        ({"sessions": metered("0.5")}, "entitlements.sessions.limit", "expected a whole number, got 0.5"),
        ({"minutes": metered("0.01")}, "entitlements.minutes.limit", "expected a whole multiple of 1/60 minute, got 0.01"),
        (
            {"ai_cost": metered("0.1234567890123456")},
            "entitlements.ai_cost.limit",
            "expected a whole multiple of 1/1000000000 USD, got 0.1234567890123456",
        ),
        (
            {"ai_cost": metered("9000001")},
            "entitlements.ai_cost.limit",
            "expected at most 9000000 USD, got 9000001",
        ),
        (
            {"size": Static(Decimal("NaN"))},
            "entitlements.size.value",
            "expected a number of at most 9000000000000000, got NaN",
        ),
        (
            {"size": Static(Decimal("9000000000000001"))},
            "entitlements.size.value",
            "expected a number of at most 9000000000000000, got 9000000000000001",
        ),
        ({"sesions": metered("1")}, "entitlements.sesions", "expected a declared metered feature; did you mean 'sessions'?"),
        ({"api_call": metered("1")}, "entitlements.api_call", "expected a declared metered feature; did you mean 'api_calls'?"),
        (
            {"tokens": MeteredDraft(None)},
            "entitlements.tokens",
            "expected a declared metered feature: declare it under 'features:' in the plan file",
        ),
        (
            {"sessions": Static(Decimal(3))},
            "entitlements.sessions.type",
            "expected 'metered', since 'sessions' is a declared metered feature",
        ),
        (
            {"api_calls": Boolean(enabled=False)},
            "entitlements.api_calls.type",
            "expected 'metered', since 'api_calls' is a declared metered feature",
        ),
        (
            {"Exports": Boolean(enabled=True)},
            "entitlements.Exports",
            "expected a key of 1 to 64 of a-z, 0-9, '_', '.' and '-', starting with a letter",
        ),
    ],
)
def test_an_entitlement_that_cannot_be_published_is_refused_with_what_belongs_there(
    entitlements: Mapping[str, EntitlementDraft], path: str, expected: str
) -> None:
    with pytest.raises(InvalidPlan) as refusal:
        draft(entitlements).resolve(CATALOG)

    assert (refusal.value.path, refusal.value.expected) == (path, expected)
    assert refusal.value.undeclared == ("tokens" if "tokens" in entitlements else None)


@pytest.mark.parametrize("key", ["", "Pro", "1pro", "_pro", "pro plan", "pro\n", "pró", "p" * 65])
def test_a_plan_key_outside_the_alphabet_is_refused(key: str) -> None:
    with pytest.raises(InvalidPlan) as refusal:
        draft({}, key=key).resolve(CATALOG)

    assert refusal.value.path == "key"


@pytest.mark.parametrize("key", ["p", "p" * 64, "pro-2026_v1.5"])
def test_letters_digits_and_three_signs_make_a_key(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize("name", ["", "n" * 201, "two\nlines", "nul\0"])
def test_a_name_that_cannot_be_shown_on_one_line_is_refused(name: str) -> None:
    with pytest.raises(InvalidPlan) as refusal:
        draft({}, name=name).resolve(CATALOG)

    assert (refusal.value.path, refusal.value.expected) == ("name", f"expected 1 to 200 printable characters, got {name!r}")


def test_a_name_may_be_200_characters_of_any_script() -> None:
    assert draft({}, name="Größe 大 " * 25).mistakes(CATALOG) == []


def test_all_mistakes_are_found_and_not_only_the_first() -> None:
    plan = draft({"sesions": metered("-1"), "minutes": metered("0.001"), "size": Static(Decimal("inf"))}, key="", name="")

    assert [mistake.location for mistake in plan.mistakes(CATALOG)] == [
        (),
        ("name",),
        ("entitlements", "sesions"),
        ("entitlements", "sesions", "limit"),
        ("entitlements", "minutes", "limit"),
        ("entitlements", "size", "value"),
    ]


def test_a_dot_in_a_feature_key_does_not_blur_where_the_mistake_is() -> None:
    plan = draft({"exports.limit": metered("-1")})

    assert Mistake(("entitlements", "exports.limit", "limit"), "expected a number of at least 0 or null, got -1") in plan.mistakes(CATALOG)


def test_only_a_close_word_is_suggested() -> None:
    assert did_you_mean("limt", ["limit", "reset"]) == "; did you mean 'limit'?"
    assert did_you_mean("burst", ["limit", "type"]) == ""


@given(feature=st.sampled_from(BUILT_IN), limit=st.decimals())
@example(next(iter(BUILT_IN)), Decimal("129065646286578.308"))
def test_any_number_is_either_published_to_its_fifteenth_digit_or_refused(feature: Feature, limit: Decimal) -> None:
    plan = draft({feature.key: MeteredDraft(limit)})

    if plan.mistakes(CATALOG):
        with pytest.raises(InvalidPlan):
            plan.resolve(CATALOG)
    else:
        published = plan.resolve(CATALOG)[feature.key]
        assert isinstance(published, Metered)
        assert published.limit is not None
        assert feature.units(published.limit) == without_noise(limit)


@given(nano_dollars=st.integers(min_value=0, max_value=999_999_999_999_999))
def test_every_amount_of_money_up_to_fifteen_digits_can_be_a_limit(nano_dollars: int) -> None:
    plan = draft({"ai_cost": MeteredDraft(AI_COST.units(nano_dollars))})

    assert plan.resolve(CATALOG) == {"ai_cost": Metered(nano_dollars)}
