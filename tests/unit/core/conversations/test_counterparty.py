"""Whoever a message is exchanged with has one name: a phone number in any spelling, or the id itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.conversations.counterparty import LENGTH_MAX, UNKNOWN, Address, address_of

AUSTRIAN = "+436601234567"


@pytest.mark.parametrize(
    "written",
    [
        "+43 660 1234567",
        " +43 (660) 123-45-67\u200e",
        "\uff0b43 660 1234567",
        "436601234567@s.whatsapp.net",
        "436601234567:12@s.whatsapp.net",
        "436601234567_1:12@S.WHATSAPP.NET",
        "436601234567@c.us",
        "whatsapp:+436601234567",
        "whatsapp:436601234567",
        "WhatsApp:00436601234567",
        "tel:+43-660-1234567",
        "tel:+436601234567;phone-context=example.com",
        "sms:+436601234567?body=hello",
        "smsto://+436601234567",
        "sip:+436601234567@example.com",
        "sips:+436601234567@example.com;user=phone",
        "+43 660 1234567 ext. 12",
        "+43 660 1234567;ext=12",
        "+\u0664\u0663 \u0666\u0666\u0660 \u0661\u0662\u0663\u0664\u0665\u0666\u0667",
    ],
)
def test_an_international_number_is_one_in_any_spelling(written: str) -> None:
    assert address_of(written) == Address(AUSTRIAN, AUSTRIAN, is_name=False)
    assert not address_of(written).needs_region


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("0660 1234567", "06601234567"),
        ("(415) 555-2671", "4155552671"),
        ("tel:0660-1234567", "06601234567"),
        ("415.555.2671 x12", "4155552671"),
    ],
)
def test_a_number_without_a_country_needs_a_region(written: str, number: str) -> None:
    assert address_of(written) == Address(number, number, is_name=False)
    assert address_of(written).needs_region


def test_two_zeros_in_front_are_kept_for_the_region_to_read_and_are_a_plus_where_there_is_none() -> None:
    assert address_of("0043 660 1234567") == Address(AUSTRIAN, "00436601234567", is_name=False)


@pytest.mark.parametrize("written", ["Maria", "maria@example.com", "user_42", "sip:maria@example.com", "436601234567@g.us", "@42"])
def test_everything_else_counts_as_itself(written: str) -> None:
    assert address_of(written) == Address(written, None, is_name=True)
    assert not address_of(written).needs_region


@pytest.mark.parametrize("written", ["...", "#", "12#34", "_1_"])
def test_what_has_neither_a_letter_nor_an_at_sign_is_no_name_to_send_to(written: str) -> None:
    assert address_of(written) == Address(written, None, is_name=False)
    assert address_of(written).needs_region


@pytest.mark.parametrize("written", ["", " ", "\t\n", "\u200b\ufeff"])
def test_all_who_withhold_who_they_are_are_one(written: str) -> None:
    assert address_of(written) == Address(UNKNOWN, None, is_name=False)


def test_white_space_at_either_end_is_no_part_of_a_name_and_what_is_no_text_is_replaced() -> None:
    assert address_of("\u200e  Maria\n").name == "Maria"
    assert address_of("Ma\x00ria\ud800 of\nRome").name == "Ma\ufffdria\ufffd of Rome"


# What is long.


def test_a_name_of_255_characters_is_kept_as_it_is_and_a_longer_one_with_a_digest_of_the_whole() -> None:
    longest = "m" * LENGTH_MAX
    longer, other = address_of(longest + "a").name, address_of(longest + "b").name
    assert address_of(longest).name == longest
    assert len(longer) == LENGTH_MAX
    assert longer.rpartition("~")[0] == "m" * (LENGTH_MAX - 33)
    assert longer != other


def test_a_number_is_read_in_a_text_of_255_characters_and_no_longer_one() -> None:
    number = "+43" + " " * (LENGTH_MAX - 13) + "6601234567"
    assert address_of(number).number == AUSTRIAN
    assert address_of(number[:3] + " " + number[3:]).number is None


def test_the_latest_are_remembered_but_not_the_long_ones() -> None:
    """Which could be of any size, and so many of them would take any amount of memory."""
    assert address_of("m" * LENGTH_MAX) is address_of("m" * LENGTH_MAX)
    assert address_of("m" * (LENGTH_MAX + 1)) is not address_of("m" * (LENGTH_MAX + 1))


@given(st.text(st.characters(codec=None), max_size=LENGTH_MAX + 10))
def test_every_text_has_a_name_that_can_be_stored_and_means_the_same_again(written: str) -> None:
    name = address_of(written).name
    assert 0 < len(name) <= LENGTH_MAX
    assert name.encode("utf-8")
    assert address_of(name).name == name
