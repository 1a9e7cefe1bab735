"""Phone numbers as people and programs write them."""

import pytest

from infrastructure.phone_numbers import LibraryPhoneNumbers, LibraryPhoneRegions


@pytest.fixture(scope="module")
def phone_numbers() -> LibraryPhoneNumbers:
    return LibraryPhoneNumbers()


@pytest.mark.parametrize(
    ("number", "region"),
    [
        ("+1 (415) 555-2671", None),
        ("+1 (415) 555-2671", "AT"),
        ("14155552671", None),
        ("14155552671", "US"),
        ("14155552671", "DE"),
        ("(415) 555-2671", "US"),
        ("415.555.2671", "US"),
        ("tel:+14155552671", None),
        ("＋１ 415 555 2671", None),
    ],
)
def test_spellings_of_one_number_are_one(phone_numbers: LibraryPhoneNumbers, number: str, region: str | None) -> None:
    assert phone_numbers.e164(number, region) == "+14155552671"


@pytest.mark.parametrize(("number", "region"), [("0664 1234567", "AT"), ("0043 664 1234567", "DE"), ("436641234567", None)])
def test_a_number_is_read_as_at_home_in_its_region(phone_numbers: LibraryPhoneNumbers, number: str, region: str | None) -> None:
    assert phone_numbers.e164(number, region) == "+436641234567"


@pytest.mark.parametrize("number", ["", " ", "hello", "12345", "+1 415 555", "+999123456789", "+" + "1" * 254, "555-2671", "\x00"])
@pytest.mark.parametrize("region", [None, "US"])
def test_what_is_no_phone_number_is_none(phone_numbers: LibraryPhoneNumbers, number: str, region: str | None) -> None:
    assert phone_numbers.e164(number, region) is None


@pytest.mark.parametrize("region", [None, "XX"])
def test_a_number_without_country_is_none_without_a_region_that_exists(phone_numbers: LibraryPhoneNumbers, region: str | None) -> None:
    assert phone_numbers.e164("(415) 555-2671", region) is None


def test_a_number_of_the_right_length_is_taken_though_the_library_knows_of_none_such(phone_numbers: LibraryPhoneNumbers) -> None:
    assert phone_numbers.e164("+1 555 123 4567", None) == "+15551234567"


def test_a_guess_at_the_country_has_to_be_a_number_in_use(phone_numbers: LibraryPhoneNumbers) -> None:
    assert phone_numbers.e164("1 555 123 4567", None) is None


def test_a_region_is_known_whose_numbers_can_be_read() -> None:
    regions = LibraryPhoneRegions().known()
    assert {"GB", "US", "AT", "XK"} <= set(regions)
    assert not {"UK", "ZZ", "001", "gb", ""} & set(regions)
