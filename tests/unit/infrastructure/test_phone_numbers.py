"""Phone numbers as people and programs write them."""

import pytest
from phonenumbers import SUPPORTED_REGIONS, PhoneNumberFormat, PhoneNumberType, example_number_for_type, format_number

from core.conversations.counterparty import address_of
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


PAIRS = {
    "+525512345678": ["+5215512345678", "+52 1 55 1234 5678"],  # Mexico
    "+5541987654321": ["+554187654321", "+55 41 8765-4321"],  # Brazil
    "+5511970001234": ["+551170001234"],
    "+5491123456789": ["+541123456789", "+54 11 15-2345-6789"],  # Argentina
    "+5492944123456": ["+542944123456"],
    "+220833012345": ["+2203012345"],  # Gambia
    "+220866612345": ["+2206612345"],
    "+220877712345": ["+2207712345"],
    "+220874012345": ["+2204012345"],
    "+220899912345": ["+2209912345"],
    "+2250103123456": ["+22503123456"],  # Côte d'Ivoire
    "+2250545123456": ["+22545123456"],
    "+2250789123456": ["+22589123456"],
    "+2290190123456": ["+22990123456"],  # Benin
    "+24177123456": ["+24107123456", "+2417123456", "+241077123456"],  # Gabon
    "+24166123456": ["+24106123456", "+2416123456"],
    "+24111441234": ["+24101441234"],
    "+2413123456": ["+24103123456"],
}


@pytest.mark.parametrize(("today", "others"), PAIRS.items(), ids=PAIRS)
def test_the_forms_of_a_number_are_told_in_the_one_of_today(phone_numbers: LibraryPhoneNumbers, today: str, others: list[str]) -> None:
    for form in (today, *others):
        for spelling in (form, form.removeprefix("+"), f"00{form.removeprefix('+')}"):
            assert phone_numbers.e164(spelling, None) == today, spelling


@pytest.mark.parametrize(
    "number",
    [
        *("+551133334444", "+558001234567", "+5511970001234"),  # Brazil: a fixed line, a free number, and nine digits already
        *("+548001234567", "+525512345678", "+2252720301234", "+2290120211234", "+24177123456", "+390612345678"),
    ],
)
def test_numbers_that_have_one_form_only_are_left_as_they_are(phone_numbers: LibraryPhoneNumbers, number: str) -> None:
    assert phone_numbers.e164(number, None) == number


@pytest.mark.parametrize(
    ("number", "region", "expected"),
    [
        ("044 55 1234 5678", "MX", "+525512345678"),
        ("01 55 1234 5678", "MX", "+525512345678"),
        ("5215512345678", "MX", "+525512345678"),
        ("1 415 555 2671", "MX", "+14155552671"),
        ("(41) 8765-4321", "BR", "+5541987654321"),
        ("0 41 98765-4321", "BR", "+5541987654321"),
        ("011 15-2345-6789", "AR", "+5491123456789"),
    ],
)
def test_other_forms_are_known_at_home_too(phone_numbers: LibraryPhoneNumbers, number: str, region: str, expected: str) -> None:
    assert phone_numbers.e164(number, region) == expected


@pytest.mark.parametrize("number", ["0043 660 1234567", "+0043 660 1234567", "00436601234567", " 0043-660-1234567 "])
@pytest.mark.parametrize("region", [None, "US", "AT", "JP", "XX"])
def test_two_zeros_stand_for_a_plus(phone_numbers: LibraryPhoneNumbers, number: str, region: str | None) -> None:
    assert phone_numbers.e164(number, region) == "+436601234567"


@pytest.mark.parametrize("region", ["DE", "AT", "RS", "US", None])
@pytest.mark.parametrize("number", ["+436601234567", "+4915112345678", "+5541987654321", "+525512345678", "+14155552671", "+2250707123456"])
def test_a_mobile_phones_number_without_its_plus_is_no_fixed_line_of_the_region(
    phone_numbers: LibraryPhoneNumbers, number: str, region: str | None
) -> None:
    """In Germany and Austria, whose numbers have many lengths, nearly every number could be one."""
    assert phone_numbers.e164(number.removeprefix("+"), region) == number


@pytest.mark.parametrize(
    ("number", "region", "expected"),
    [
        ("04366 4123456", "DE", "+4943664123456"),  # could be +43 664 123456 without the 0
        ("9512345678", "IN", "+919512345678"),  # could be +95 12345678
        ("3212345678", "US", "+13212345678"),  # could be +32 12345678
        ("030 123456", "DE", "+4930123456"),
        ("30 123456", "DE", "+4930123456"),
    ],
)
def test_a_number_as_it_is_written_at_home_is_one_of_the_region(
    phone_numbers: LibraryPhoneNumbers, number: str, region: str, expected: str
) -> None:
    assert phone_numbers.e164(number, region) == expected


def test_every_countrys_numbers_are_one_in_every_spelling(phone_numbers: LibraryPhoneNumbers) -> None:
    kinds = [(region, kind) for region in sorted(SUPPORTED_REGIONS) for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)]
    for region, kind in kinds:
        example = example_number_for_type(region, kind)
        if example is None:
            continue
        digits = format_number(example, PhoneNumberFormat.E164).removeprefix("+")
        known = phone_numbers.known_as(address_of(f"+{digits}"), None)
        plain = [format_number(example, form) for form in (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966)]
        for spelling in (known, *plain, f"00{digits}", f"{digits}@s.whatsapp.net", f"{digits}:7@c.us", f"whatsapp:+{digits}", digits):
            assert phone_numbers.known_as(address_of(spelling), None) == known, spelling
        national = format_number(example, PhoneNumberFormat.NATIONAL)
        assert phone_numbers.known_as(address_of(national), region) == known, (region, national)


def test_a_region_is_known_whose_numbers_can_be_read() -> None:
    regions = LibraryPhoneRegions().known()
    assert {"GB", "US", "AT", "XK"} <= set(regions)
    assert not {"UK", "ZZ", "001", "gb", ""} & set(regions)
