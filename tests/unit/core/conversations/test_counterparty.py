"""What a counterparty counts as, however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.conversations.counterparty import LENGTH_MAX, address_of

JID = "436601234567@s.whatsapp.net"


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+1 (415) 555-2671", "+14155552671"),
        ("(415) 555.2671", "4155552671"),
        ("\uff0b\uff11 415 555 2671", "+14155552671"),
        ("+\u0664\u0663 660 1234567", "+436601234567"),  # Arabic digits
        ("\u202a+43\u00a0660\u20111234567\u202c", "+436601234567"),
        ("+1 415 555 2671 ext. 12", "+14155552671"),
        ("+14155552671x12", "+14155552671"),
        ("tel:+1-415-555-2671;ext=12", "+14155552671"),
        ("TEL:4155552671", "4155552671"),
        ("sms:+14155552671?body=hello", "+14155552671"),
        ("sip:+14155552671@example.org;user=phone", "+14155552671"),
        ("whatsapp:+1 415 555 2671", "+14155552671"),
        ("whatsapp://14155552671", "+14155552671"),
        (JID, "+436601234567"),
        ("436601234567:12@S.WhatsApp.net", "+436601234567"),
        ("436601234567_2:12@c.us", "+436601234567"),
        ("0043 660 1234567", "00436601234567"),
        ("+0043 660 1234567", "+436601234567"),
        ("12345", "12345"),
    ],
)
def test_the_number_that_a_text_is_or_contains(written: str, number: str) -> None:
    address = address_of(written)
    assert (address.number, address.is_name) == (number, False)
    assert address.needs_region is not number.startswith("+")


@pytest.mark.parametrize(
    "written",
    [
        *("US.13491208655302741918", "12345@lid", "120363025246125486@g.us", "4155a52671", "maria4155552671", "Maria +14155552671"),
        *("sip:maria@example.org", "whatsapp:US.13491208655302741918", "tel:maria", "1-800-FLOWERS", "@maria", "Зоя", "\u6211"),
    ],
)
def test_what_has_a_letter_or_an_at_sign_in_it_is_a_name_and_counts_as_itself(written: str) -> None:
    assert address_of(written) == (written, None, True, False)
    assert address_of(f"\t {written}\u200b\n") == address_of(written)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("+999 12", "+99912"),
        ("00999 12", "+99912"),
        ("99912@c.us", "+99912"),
        ("1-23 45", "12345"),
        ("00", "00"),
        ("+", "+"),
        ("+00", "+00"),
    ],
)
def test_digits_that_can_be_no_number_count_as_those_digits(written: str, name: str) -> None:
    address = address_of(written)
    assert (address.name, address.is_name) == (name, False)


@pytest.mark.parametrize("written", ["-1001234567890", "#12345", "12:345", "123_45", "\U0001f98a", "***", "12345/67#8"])
def test_what_nobody_dials_counts_as_itself_and_nobody_can_send_to_it(written: str) -> None:
    assert address_of(written) == (written, None, False, True)


@pytest.mark.parametrize("written", ["", " ", "\u200b\u2060", "\r\n"])
def test_who_withholds_who_it_is_is_unknown(written: str) -> None:
    assert address_of(written) == ("unknown", None, False, True)


@pytest.mark.parametrize(("written", "name"), [("a\x00b\x9f", "a\ufffdb\ufffd"), ("a\r\nb\tc", "a b c"), ("a\ud800", "a\ufffd")])
def test_what_is_no_text_is_replaced(written: str, name: str) -> None:
    assert address_of(written).name == name


def test_what_is_too_long_keeps_its_beginning_and_stays_another_than_every_other() -> None:
    texts = ["x" * 256, "x" * 257, "x" * 300 + "y", "1" * 256, "\u00e9" * 300]
    names = [address_of(text).name for text in texts]
    assert len(set(names)) == len(texts)
    for text, name in zip(texts, names, strict=True):
        assert len(name) == LENGTH_MAX
        assert name.startswith(text[:222])
    assert [address_of(text).is_name for text in texts] == [True, True, True, False, True]
    assert address_of("x" * 255).name == "x" * 255


@given(st.text(st.characters(), max_size=600) | st.from_regex(r"[+0-9 ()@:.a-z_;=-]{0,300}", fullmatch=True))
def test_whatever_a_sender_is_called_it_has_a_name_that_can_be_kept_and_found_again(written: str) -> None:
    address = address_of(written)
    assert 1 <= len(address.name) <= LENGTH_MAX
    assert address.name == address.name.strip()
    assert not any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in address.name)
    again = address_of(address.name)
    assert again.name == address.name
    if address.number is not None:
        assert again.number is not None
        assert again.number.removeprefix("00").removeprefix("+") == address.number.removeprefix("00").removeprefix("+")


def test_a_number_is_read_in_a_text_of_255_characters_and_no_longer_one() -> None:
    number = "+43" + " " * (LENGTH_MAX - 13) + "6601234567"
    assert address_of(number).number == "+436601234567"
    assert address_of(number[:3] + " " + number[3:]).number is None


def test_the_latest_are_remembered_but_not_the_long_ones() -> None:
    """Which could be of any size, and so many of them would take any amount of memory."""
    assert address_of("m" * LENGTH_MAX) is address_of("m" * LENGTH_MAX)
    assert address_of("m" * (LENGTH_MAX + 1)) is not address_of("m" * (LENGTH_MAX + 1))
