"""How readers of a language write numbers, money and times; and that no language lacks a text."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from api.pages.formats import Formats
from api.pages.texts import FEATURES, TEXTS, UNITS
from core.plans.features import Feature

UTC_ZONE = ZoneInfo("UTC")
COST = Feature("ai_cost", "USD", 1_000_000_000)
MINUTES = Feature("minutes", "minute", 60)
AT = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_every_language_has_every_text_with_the_same_blanks(language: str) -> None:
    blanks = {key: sorted(re.findall(r"{(\w+)}", text)) for key, text in TEXTS["en"].items()}
    assert {key: sorted(re.findall(r"{(\w+)}", text)) for key, text in TEXTS[language].items()} == blanks


@pytest.mark.parametrize("language", sorted({*FEATURES, *UNITS}))
def test_names_are_of_languages_that_have_texts(language: str) -> None:
    assert language in TEXTS


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("en", "1,234.5 minutes"),
        ("de", "1.234,5 Minuten"),
        ("de-CH", "1'234.5 Minuten"),
        ("xx", "1,234.5 minutes"),
        ("ja", "1,234.5 minutes"),
        ("", "1,234.5 minutes"),
    ],
)
def test_a_quantity_is_written_exactly(tag: str, shown: str) -> None:
    assert Formats(tag, UTC_ZONE).amount(74_070, MINUTES).replace("’", "'") == shown


@pytest.mark.parametrize(
    ("parts", "english", "german"),
    [
        (3_000_000_000, "$3.00", "3,00 $"),
        (1_500_000, "$0.0015", "0,0015 $"),
        (1, "$0.000000001", "0,000000001 $"),
        (-20_000_000, "-$0.02", "-0,02 $"),
    ],
)
def test_money_has_cents_and_what_is_smaller_where_there_is_any(parts: int, english: str, german: str) -> None:
    assert Formats("en", UTC_ZONE).amount(parts, COST) == english
    assert Formats("de", UTC_ZONE).amount(parts, COST).replace("\xa0", " ") == german


def test_one_of_a_unit_and_several() -> None:
    write = Formats("de", UTC_ZONE)
    assert write.amount(60, MINUTES) == "1 Minute"
    assert Formats("en", UTC_ZONE).amount(0, MINUTES) == "0 minutes"


def test_a_feature_without_a_name_of_its_own_is_called_by_its_key() -> None:
    assert Formats("en", UTC_ZONE).feature("api_calls") == "Api calls"
    assert Formats("en", UTC_ZONE).feature("_") == "_"


def test_times_are_the_customers() -> None:
    vienna = Formats("en", ZoneInfo("Europe/Vienna"))
    assert vienna.day(AT) == "Nov 28, 2026"
    assert vienna.moment(AT).replace("\u202f", " ") == "Nov 28, 2026, 12:30 AM"
    assert vienna.moment(datetime(2026, 11, 27, 23, 0, tzinfo=UTC)) == "Nov 28, 2026"
    assert vienna.month(AT) == "Nov 2026"


def test_a_percentage_has_a_decimal_only_where_it_needs_one() -> None:
    write = Formats("en", UTC_ZONE)
    assert write.percent(Decimal(80)) == "80%"
    assert write.percent(Decimal("93.3")).replace("\xa0", " ") == "93.3 %"
