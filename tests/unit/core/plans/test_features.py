"""Quantities: decimals in a feature's unit at the edge, exact counts of its smallest parts inside."""

from decimal import Context, Decimal, localcontext
from fractions import Fraction
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.operations.features import AI_COST
from core.plans.features import (
    FRACTIONS,
    QUANTITY_PARTS_MAX,
    RESOLUTION_MAX,
    SIGNIFICANT_DIGITS_MAX,
    Feature,
    FeatureCatalog,
    InvalidQuantity,
    plural,
    without_noise,
)
from core.products import BUILT_IN
from core.sessions.features import MINUTES, SESSIONS

DIGITS_MAX = 10**20 - 1
features = st.builds(
    Feature, st.just("bandwidth"), st.just("GB"), st.sampled_from([1, 7, 60, 1000, RESOLUTION_MAX]) | st.integers(1, RESOLUTION_MAX)
)


@st.composite
def quantities(draw: st.DrawFn) -> Decimal:
    """Any number of up to 20 digits, many of them half-way between two parts of a decimal resolution."""
    digits = draw(st.integers(-DIGITS_MAX, DIGITS_MAX) | st.integers(-1000, 1000).map(lambda whole: whole * 10 + 5))
    return Decimal(digits).scaleb(draw(st.integers(-25, 3)))


@given(feature=features, quantity=quantities())
def test_parts_are_the_exact_product_rounded_half_even(feature: Feature, quantity: Decimal) -> None:
    exact = round(Fraction(quantity) * feature.resolution)  # Fraction rounds half-even
    if abs(exact) > QUANTITY_PARTS_MAX:
        with pytest.raises(InvalidQuantity, match="too large"):
            feature.parts(quantity)
    else:
        assert feature.parts(quantity) == exact


@given(feature=features, parts=st.integers(-(10**14) + 1, 10**14 - 1))
def test_parts_survive_being_written_in_units_and_read_again(feature: Feature, parts: int) -> None:
    assert feature.parts(feature.units(parts)) == parts


@given(feature=features, parts=st.integers(-QUANTITY_PARTS_MAX, QUANTITY_PARTS_MAX))
def test_units_are_the_exact_quotient_to_15_significant_digits(feature: Feature, parts: int) -> None:
    error = abs(Fraction(feature.units(parts)) - Fraction(parts, feature.resolution))
    assert error * 10 ** (SIGNIFICANT_DIGITS_MAX - 1) <= abs(Fraction(parts, feature.resolution)) / 2


@pytest.mark.parametrize(
    ("quantity", "parts"), [("0.5", 0), ("1.5", 2), ("2.5", 2), ("3.5", 4), ("-0.5", 0), ("-1.5", -2), ("0.500000000000001", 1)]
)
def test_half_a_part_is_rounded_to_the_even_neighbour(quantity: str, parts: int) -> None:
    assert SESSIONS.parts(Decimal(quantity)) == parts


@pytest.mark.parametrize(
    ("feature", "quantity", "parts"),
    [
        (MINUTES, "30.5", 1830),
        (MINUTES, "0.0166666666666667", 1),
        (AI_COST, "0.02", 20_000_000),
        (AI_COST, "0.000000001", 1),
        (AI_COST, "0.1", 100_000_000),
        (SESSIONS, "1e3", 1000),
        (SESSIONS, "-7", -7),
        (SESSIONS, "-0", 0),
    ],
)
def test_a_quantity_is_counted_in_the_features_smallest_parts(feature: Feature, quantity: str, parts: int) -> None:
    assert feature.parts(Decimal(quantity)) == parts


@pytest.mark.parametrize(
    ("feature", "parts", "units"),
    [
        (MINUTES, 1830, "30.5"),
        (MINUTES, 30_000, "500"),
        (MINUTES, 1, "0.0166666666666667"),
        (AI_COST, 20_000_000, "0.02"),
        (SESSIONS, 0, "0"),
    ],
)
def test_units_are_written_as_short_as_they_can_be(feature: Feature, parts: int, units: str) -> None:
    assert f"{feature.units(parts):f}" == units


@pytest.mark.parametrize("quantity", ["NaN", "sNaN", "-NaN", "Infinity", "-Infinity"])
def test_what_is_no_finite_number_is_refused(quantity: str) -> None:
    with pytest.raises(InvalidQuantity, match="finite"):
        SESSIONS.parts(Decimal(quantity))


@pytest.mark.parametrize(
    "quantity",
    ["1234567890123456", "0.1234567890123456", "1.000000000000001", f"0.5{'0' * 400}1", f"2.5{'0' * 400}", f"1.4{'9' * 400}", "1" * 15],
)
def test_a_quantity_may_have_any_number_of_digits(quantity: str) -> None:
    assert SESSIONS.parts(Decimal(quantity)) == round(Fraction(quantity))


@pytest.mark.parametrize(
    ("quantity", "parts"),
    [
        ("0.30000000000000004", 300_000_000),
        ("2.0999999999999996", 2_100_000_000),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("0.00000000050000000000000000001", 1),
    ],
)
def test_the_tail_of_a_double_is_rounded_away(quantity: str, parts: int) -> None:
    assert AI_COST.parts(Decimal(quantity)) == parts


def test_the_largest_quantity_is_a_number_of_parts_whatever_the_resolution() -> None:
    assert SESSIONS.parts(Decimal("9e15")) == QUANTITY_PARTS_MAX
    assert AI_COST.parts(Decimal("9e6")) == QUANTITY_PARTS_MAX
    for feature, quantity in [(SESSIONS, "9.00000000000001e15"), (AI_COST, "9000000.00000001"), (SESSIONS, "-9.00000000000001e15")]:
        with pytest.raises(InvalidQuantity, match="too large"):
            feature.parts(Decimal(quantity))


@pytest.mark.parametrize("feature", [SESSIONS, MINUTES, AI_COST])
@pytest.mark.parametrize("quantity", ["1e16", "1e400", "-1e400", "1e1000001", "1e999999999", "-9.99e999999999", "1e999999999999999999"])
def test_a_huge_exponent_is_refused_and_costs_nothing(feature: Feature, quantity: str) -> None:
    began = process_time()
    with pytest.raises(InvalidQuantity, match="too large"):
        feature.parts(Decimal(quantity))
    assert process_time() - began < 1


@pytest.mark.parametrize("feature", [SESSIONS, MINUTES, AI_COST])
@pytest.mark.parametrize("quantity", ["1E-400", "-1E-400", "1E-1000001", "1E-999999999", "0E+400", "0E+999999999", "0E-999999999"])
def test_a_tiny_number_and_a_zero_with_any_exponent_are_no_parts_and_cost_nothing(feature: Feature, quantity: str) -> None:
    began = process_time()
    assert feature.parts(Decimal(quantity)) == 0
    assert process_time() - began < 1


@pytest.mark.parametrize("quantity", ["0", "-0", "0E+400", "-1", "0.008", "1E-400", "-1E-400"])
def test_usage_is_at_least_one_smallest_part(quantity: str) -> None:
    with pytest.raises(InvalidQuantity, match="at least 1/60 minute is expected"):
        MINUTES.positive_parts(Decimal(quantity))


def test_usage_may_be_one_smallest_part() -> None:
    assert MINUTES.positive_parts(Decimal("0.0167")) == 1
    with pytest.raises(InvalidQuantity, match="at least 1 session is expected"):
        SESSIONS.positive_parts(Decimal(0))


@pytest.mark.parametrize("quantity", ["0", "-0", "0E+400", "1e-400", "0.0000000004", "0.000000001", "9e6"])
def test_work_may_have_used_nothing(quantity: str) -> None:
    assert AI_COST.parts_of_work(Decimal(quantity)) == AI_COST.parts(Decimal(quantity))
    assert AI_COST.fractions_of_work(Decimal(quantity)) == round(Fraction(quantity) * AI_COST.resolution * FRACTIONS)


@pytest.mark.parametrize("quantity", ["-1e-400", "-0.01", "NaN", "Infinity", "9000000.000000001", "1e999999999"])
def test_work_is_not_negative_and_not_too_large(quantity: str) -> None:
    for counted in (AI_COST.parts_of_work, AI_COST.fractions_of_work):
        with pytest.raises(InvalidQuantity):
            counted(Decimal(quantity))


def test_what_may_be_nothing_is_nothing_or_at_least_a_smallest_part() -> None:
    assert [AI_COST.parts_if_any(Decimal(quantity)) for quantity in ("0", "-0", "0.000000001")] == [0, 0, 1]
    for quantity in ("0.0000000005", "-1", "1e-400", "NaN"):
        with pytest.raises(InvalidQuantity):
            AI_COST.parts_if_any(Decimal(quantity))


@pytest.mark.parametrize(
    ("number", "rounded"),
    [
        ("0.30000000000000004", "0.3"),
        ("78.30000000000001", "78.3"),
        ("123456789012345", "123456789012345"),
        ("1e-999999999", "1e-999999999"),
    ],
)
def test_noise_is_what_comes_after_15_digits(number: str, rounded: str) -> None:
    assert without_noise(Decimal(number)) == Decimal(rounded)


def test_an_invalid_quantity_names_its_feature() -> None:
    with pytest.raises(InvalidQuantity) as refused:
        AI_COST.parts(Decimal("NaN"))
    assert refused.value.facts() == {"feature": "ai_cost"}


def test_the_answer_does_not_depend_on_the_decimal_context_of_the_caller() -> None:
    with localcontext(Context(prec=3, Emax=5, Emin=-5)):
        assert AI_COST.parts(Decimal("1234.567891234")) == 1_234_567_891_234
        assert AI_COST.units(1_234_567_891_234) == Decimal("1234.567891234")


def test_a_catalog_has_the_built_in_features_and_those_that_were_declared() -> None:
    bandwidth = Feature("bandwidth", "GB", 1000)
    catalog = FeatureCatalog([*BUILT_IN, bandwidth])
    assert set(catalog) == {*BUILT_IN, bandwidth}
    assert (catalog.get("bandwidth"), catalog.get("minutes"), catalog.get("seats")) == (bandwidth, MINUTES, None)


def test_a_feature_that_is_added_to_one_catalog_is_unknown_to_another() -> None:
    catalog, other = FeatureCatalog(BUILT_IN), FeatureCatalog(BUILT_IN)
    catalog.add(Feature("seats", "seat"))
    assert catalog.get("seats") == Feature("seats", "seat")
    assert other.get("seats") is None


@pytest.mark.parametrize(
    ("unit", "several"),
    [
        *(("minute", "minutes"), ("call", "calls"), ("run", "runs"), ("API call", "API calls"), ("page-view", "page-views")),
        *(("query", "queries"), ("batch", "batches"), ("process", "processes"), ("box", "boxes"), ("push", "pushes")),
        *(("tokens", "tokens"), ("USD", "USD"), ("kg", "kg"), ("ms", "ms"), ("GiB", "GiB"), ("m2", "m2"), ("Stück", "Stück"), ("", "")),
    ],
)
def test_a_plain_english_unit_has_a_plural_and_a_symbol_has_none(unit: str, several: str) -> None:
    assert plural(unit) == several == Feature("key", unit).plural


@pytest.mark.parametrize(
    ("feature", "parts", "expected"),
    [
        (Feature("calls", "call"), 1, "1 call"),
        (Feature("calls", "call"), 0, "0 calls"),
        (Feature("calls", "call"), 1000, "1000 calls"),
        (Feature("minutes", "minute", 60), 60, "1 minute"),
        (Feature("minutes", "minute", 60), 90, "1.5 minutes"),
        (Feature("cost", "USD", 1_000_000_000), 20_000_000, "0.02 USD"),
        (Feature("value", ""), 7, "7"),
    ],
)
def test_an_amount_reads_as_people_say_it(feature: Feature, parts: int, expected: str) -> None:
    assert feature.amount(parts) == expected
