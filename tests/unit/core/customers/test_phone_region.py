"""Regions are those whose phone numbers are known; for any other name the one that was meant is suggested, and none that was not."""

import pytest

from core.customers.phone_region import InvalidPhoneRegion, known_region

REGIONS = ("AT", "AU", "DE", "ES", "FR", "GB", "ID", "IE", "IL", "IN", "IR", "JP", "KR", "SA", "SI", "US")


def suggested(name: str) -> str | None:
    with pytest.raises(InvalidPhoneRegion) as refusal:
        known_region(name, REGIONS)
    assert refusal.value.facts() == {"phone_region": name, "suggestion": refusal.value.suggestion}
    return refusal.value.suggestion


@pytest.mark.parametrize("name", REGIONS)
def test_a_region_that_is_known_is_taken_as_it_is(name: str) -> None:
    assert known_region(name, REGIONS) == name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(
            ("UK", "GB"),
            ("EN", "GB"),
            ("GBR", "GB"),
            ("USA", "US"),
            ("AUS", "AU"),
            ("AUT", "AT"),
            ("SPA", "ES"),
            ("JA", "JP"),
            ("IND", "IN"),
        ),
        *(("gb", "GB"), ("uk", "GB"), (" fr\n", "FR")),
        *(("FRA", "FR"), ("DEU", "DE"), ("JPN", "JP")),
    ],
)
def test_the_one_that_was_meant_is_suggested(name: str, meant: str) -> None:
    assert suggested(name) == meant


@pytest.mark.parametrize("name", ["", "ZZ", "IRL", "UKR", "Austria", "+44", "\0"])
def test_nothing_is_suggested_where_it_would_be_a_guess(name: str) -> None:
    assert suggested(name) is None


def test_a_region_that_is_not_known_is_not_suggested() -> None:
    with pytest.raises(InvalidPhoneRegion) as refusal:
        known_region("UK", ["US"])
    assert refusal.value.suggestion is None


def test_the_message_says_what_is_expected_and_what_was_meant() -> None:
    expected = "an ISO 3166 country code of two capital letters is expected, such as 'US'."
    assert InvalidPhoneRegion("UK", "GB").message == f"Unknown phone region 'UK': {expected} Did you mean 'GB'?"
    assert InvalidPhoneRegion("ZZ", None).message == f"Unknown phone region 'ZZ': {expected}"
